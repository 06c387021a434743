"""The numbers of the paper next to the measured ones, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdd_eval.metrics.formatting import (
    format_difference,
    format_mean,
    format_setting,
    format_value,
)
from sdd_eval.metrics.registry import metric
from sdd_eval.paper import PaperComparison, compare_with_paper
from sdd_eval.report.runs import StudyRun
from sdd_eval.report.tables.groups import method_label, recipe_of

if TYPE_CHECKING:
    import pandas

TITLES = (
    *("table", "data set, network", "method", "metric", "paper", "measured", "n", "difference"),
    "verdict",
)


@dataclass(frozen=True)
class PaperRow:
    """A number of the paper and the measured one; `deviations` lists protocol differences."""

    cells: tuple[str, ...]
    deviations: str


def paper_rows(results: pandas.DataFrame, runs: Sequence[StudyRun]) -> list[PaperRow]:
    """Return the numbers of the paper that the studies measured, in the paper's order."""
    recipes: Mapping[str, Mapping[str, object] | None] = {
        entry.name: recipe_of(entry) for entry in runs
    }
    compared = compare_with_paper(results, recipes)
    return [_paper_row(entry) for entry in compared if entry.verdict != "not measured"]


def _paper_row(entry: PaperComparison) -> PaperRow:
    number, measured = entry.number, entry.metric or entry.number.metric
    facts = metric(measured)
    axes = " ".join(f"{n} {format_setting(v)}" for n, v in number.at.items() if n != "bins")
    cells = (
        str(number.table),
        f"{number.dataset}, {number.model}",
        method_label(number.method, 0.0) + (" + SD-Dropout" if number.sd_dropout else ""),
        " ".join([measured, *([f"({axes})"] if axes else [])]),
        format_value(facts, number.value),
        format_mean(facts, entry.measured, unit=True),
        str(entry.measured.n),
        format_difference(facts, entry.difference),
        entry.verdict,
    )
    return PaperRow(cells, "; ".join(entry.reasons))
