"""The paper's numbers with the measured ones beside them, as rows of words for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdd_eval.paper import PaperComparison, compare_with_paper
from sdd_eval.report.formatting import setting, shown, signed
from sdd_eval.report.runs import Found
from sdd_eval.report.tables.groups import method_label, recipe_of
from sdd_eval.statistics.seeds import SeedSummary

if TYPE_CHECKING:
    import pandas

TITLES = (
    "table",
    "data set, network",
    "method",
    "metric",
    "paper",
    "measured",
    "n",
    "difference",
    "verdict",
)


@dataclass(frozen=True)
class Set:
    """One cell of the paper's that something was measured of; `why` forbids a comparison."""

    cells: tuple[str, ...]
    why: str


def beside(results: pandas.DataFrame, runs: Sequence[Found]) -> list[Set]:
    """The cells of the paper that the study answers to, in the paper's order."""
    recipes: Mapping[str, Mapping[str, object] | None] = {
        found.name: recipe_of(found) for found in runs
    }
    found = compare_with_paper(results, recipes)
    return [_row(each) for each in found if each.assessment.verdict != "not measured"]


def _row(each: PaperComparison) -> Set:
    """One cell in words; its difference in points where the paper has percent."""
    number, percent = each.number, each.number.percent
    unit = " points" if percent else ""
    place = " ".join(f"{n} {setting(v)}" for n, v in number.at.items() if n not in ("bins",))
    cells = (
        str(number.table),
        f"{number.dataset}, {number.model}",
        method_label(number.method, 0.0) + (" + SD-Dropout" if number.sd_dropout else ""),
        " ".join([each.metric or number.metric, *([f"({place})"] if place else [])]),
        shown(SeedSummary(number.value, math.nan, number.seeds), percent)
        + (" %" if percent else ""),
        shown(each.measured, percent) + (" %" if percent else ""),
        str(each.measured.n),
        f"{signed(each.difference, percent)}{unit}",
        each.assessment.verdict,
    )
    return Set(cells, "; ".join(each.assessment.reasons))
