"""Whether measured seeds reproduce a printed mean, and what forbids to say so."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.paper.cell_query import Wanted
from sdd_eval.paper.tables import PaperNumber
from sdd_eval.records import Recipe, encode, upgraded
from sdd_eval.statistics.seeds import SeedSummary, prediction_interval

Verdict = Literal["reproduced", "not reproduced", "too few seeds", "not comparable", "not measured"]
#: Fewer networks than this say nothing of seed noise.
SEEDS = 3
#: Fields of a recipe that leave its numbers the paper's: identity has them, or they cost nothing.
_FREE = frozenset(
    {
        *("seed", "precision", "channels_last", "compile", "deterministic"),
        *("probe_epochs", "probe_images"),
        *("dataset", "arch", "method", "method_options", "position", "direction", "hidden_layers"),
    }
)


@dataclass(frozen=True)
class Judged:
    """A verdict, in which interval of the measured mean the paper's would have to lie, and why."""

    verdict: Verdict
    low: float = math.nan
    high: float = math.nan
    why: tuple[str, ...] = ()


def judged(number: PaperNumber, measured: SeedSummary, departures: Sequence[str]) -> Judged:
    """Whether the paper's mean could be one more mean of the measured networks.

    The interval is where 95 % of the means of as many further networks as the paper's lie, if
    these scatter as the measured ones do; the paper's value counts with its rounding. Where
    anything departs from the paper's protocol there is no verdict but that.
    """
    if measured.n == 0:
        return Judged("not measured")
    low, high = prediction_interval(measured, number.seeds)
    if departures:
        return Judged("not comparable", low, high, tuple(departures))
    if measured.n < SEEDS:
        return Judged("too few seeds", low, high, (f"{measured.n} of {SEEDS} seeds",))
    inside = low - number.rounding <= number.value <= high + number.rounding
    return Judged("reproduced" if inside else "not reproduced", low, high)


def departures(
    found: Wanted, recipe: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    """How a checkpoint's training and a measurement of it are not the paper's, in words."""
    said = [*_of_recipe(found, recipe)]
    for row in rows:
        said += _of_row(found, row)
    return tuple(dict.fromkeys(said))


def _of_recipe(found: Wanted, recipe: Mapping[str, Any]) -> list[str]:
    """Fields of a recipe that are neither the paper's nor free."""
    usual = encode(Recipe())
    said = [
        f"{name.replace('_', ' ')} {recipe[name]}, not {accepted}"
        for name, accepted in found.recipe.items()
        if name in ("dataset", "arch") and recipe.get(name) != accepted
    ]
    without = not recipe.get("sd_dropout")
    completed = upgraded(Recipe, recipe)
    known = {name: v for name, v in completed.items() if name in recipe or name in found.protocol}
    for name, value in known.items():
        unused = without and name in ("drop_rate", "temperature")
        if name in _FREE or name in found.recipe or unused:
            continue
        accepted = found.protocol.get(name, (usual.get(name),))
        if value not in [encode(each) for each in accepted]:
            said.append(f"{name.replace('_', ' ')} {value}, not {accepted[0]}")
    return said + _of_options(found, recipe)


def _of_options(found: Wanted, recipe: Mapping[str, Any]) -> list[str]:
    """Settings of the method that are not its defaults, which are what made the paper's numbers."""
    said = []
    usual = _usual_options(str(recipe.get("method")))
    for name, value in (recipe.get("method_options") or {}).items():
        if name in found.recipe.get("method_options", ()) or usual.get(name, value) == value:
            continue
        said.append(f"{recipe['method']} {name.replace('_', ' ')} {value}, not {usual[name]}")
    return said


@functools.cache
def _usual_options(method: str) -> Mapping[str, Any]:
    """The default settings of a method; nothing is known of one that is not installed."""
    try:
        encoded: dict[str, Any] = encode(plugins.load("methods", method)())
    except InputError:
        return {}
    return encoded


def _of_row(found: Wanted, row: Mapping[str, Any]) -> list[str]:
    """A part of the images, data that are not their publisher's, another mean."""
    said = []
    if row["limited"]:
        said.append(f"only {row['n']:,} images")
    for part in str(row["data"]).split("; "):
        if not part.endswith(": official"):
            said.append(part)
    if row["metric"] != found.metrics[0]:
        said.append(f"{row['metric']}, not {found.metrics[0]}")
    outliers = found.at.get("outliers")
    if outliers and row["outliers"] != outliers[0]:
        said.append(f"outliers {row['outliers']}, not {outliers[0]}")
    if row.get("constants") not in (None, "paper"):
        said.append(f"{row['constants']} constants of the standardised space, not the paper's")
    return said
