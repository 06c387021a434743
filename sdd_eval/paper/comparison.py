"""Measured numbers compared with the paper's by cell: reproduced, or why not comparable."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdd_eval import plugins, records
from sdd_eval.errors import InputError
from sdd_eval.figures.selection import as_dicts
from sdd_eval.paper.cell_query import CellQuery, matches_recipe, query_for
from sdd_eval.paper.tables import PaperNumber, paper_numbers
from sdd_eval.statistics.seeds import SeedSummary, prediction_interval, summarize_seeds
from sdd_eval.store import key_of

if TYPE_CHECKING:
    import pandas

#: The first axis column of a results table.
FIRST_AXIS = "corruption"
#: Minimum number of networks for an estimate of the noise between seeds.
SEEDS = 3

Verdict = Literal["reproduced", "not reproduced", "too few seeds", "not comparable", "not measured"]
#: A checkpoint's recipe as its card stores it.
Recipe = Mapping[str, Any]
Row = Mapping[str, Any]
#: The axes of a row with their values.
Axes = tuple[tuple[str, Any], ...]
RowsByMetric = Mapping[tuple[str, str], Mapping[Axes, Sequence[Row]]]

#: Columns whose values the networks of one mean share.
_CONDITIONS = ("metric", "dataset", "n", "limited", "data", "at")
#: Recipe fields that never deviate: the query checks them, or they do not change the numbers.
_IGNORED_FIELDS = frozenset(
    {
        *("seed", "precision", "channels_last", "compile", "deterministic"),
        *("probe_epochs", "probe_images"),
        *("dataset", "arch", "method", "method_options", "position", "direction", "hidden_layers"),
    }
)


@dataclass(frozen=True)
class Substitutes:
    """Substitutes that a reduced study uses for the paper's data sets, networks and recipes.

    `names` maps the paper's data sets and networks to their substitutes, `recipes` a checkpoint's
    name to the recipes that it substitutes.
    """

    names: Mapping[str, str]
    recipes: Mapping[str, Sequence[Recipe]]


@dataclass(frozen=True)
class PaperComparison:
    """A printed number and its measurement, as fractions where the paper has percent.

    `low` and `high` are the prediction interval of the paper's mean, `reasons` the reasons against
    a comparison. `metric` is the measured metric, which on regenerated images is not the paper's.
    """

    number: PaperNumber
    measured: SeedSummary
    verdict: Verdict
    low: float = math.nan
    high: float = math.nan
    reasons: tuple[str, ...] = ()
    metric: str = ""
    checkpoints: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Measured minus printed; NaN if nothing was measured."""
        return self.measured.mean - self.number.value


def compare_with_paper(
    results: pandas.DataFrame,
    recipes: Mapping[str, Recipe | None],
    substitutes: Substitutes | None = None,
    numbers: Iterable[PaperNumber] | None = None,
) -> tuple[PaperComparison, ...]:
    """Compare the paper's numbers, in its order, with the corresponding means over seeds.

    If several recipes match a cell, the one with the fewest deviations from the paper's protocol
    is used, then the one with the most seeds. Rows of the results table with a note are ignored;
    `recipes` has the recipe of each run's checkpoint, None if it was imported. `numbers` are the
    numbers to compare, by default all.
    """
    substitutes = substitutes or Substitutes({}, {})
    queries = [query_for(number) for number in paper_numbers()]
    known = {(query.evaluator, metric) for query in queries for metric in query.metrics}
    rows = rows_by_metric(results, known)
    chosen = paper_numbers() if numbers is None else numbers
    return tuple(_compare(number, rows, recipes, substitutes) for number in chosen)


def rows_by_metric(results: pandas.DataFrame, known: Container[tuple[str, str]]) -> RowsByMetric:
    """Return usable rows, by their (known) evaluator and metric, then by their axes."""
    columns = [str(name) for name in results.columns]
    axes = columns[columns.index(FIRST_AXIS) :]
    pairs = zip(results["evaluator"], results["metric"], strict=True)
    of_paper = np.array([pair in known for pair in pairs], dtype=bool)
    without_note = results["note"].isna() | (results["note"] == "")
    usable = results[of_paper & without_note.to_numpy(dtype=bool)]
    rows: dict[tuple[str, str], dict[Axes, list[Row]]] = {}
    for record in as_dicts(usable):
        at = {name: record.pop(name) for name in axes}
        record["at"] = {n: v for n, v in at.items() if v is not None and v == v}
        by_axes = rows.setdefault((record["evaluator"], record["metric"]), {})
        by_axes.setdefault(tuple(record["at"].items()), []).append(record)
    return rows


def _compare(
    number: PaperNumber,
    rows: RowsByMetric,
    recipes: Mapping[str, Recipe | None],
    substitutes: Substitutes,
) -> PaperComparison:
    """Compare one number with the best group of networks that matches its query."""
    query = query_for(number)
    names = substitutes.names
    accepted = {axis: [names.get(v, v) for v in values] for axis, values in query.at.items()}
    groups: dict[str, list[Row]] = {}
    for metric in query.metrics:
        by_axes = rows.get((query.evaluator, metric), {})
        matching = (matched for at, matched in by_axes.items() if _accepts(accepted, dict(at)))
        for row in itertools.chain.from_iterable(matching):
            recipe = recipes.get(row["run"])
            if recipe is not None and _matches(query, row, recipe, substitutes):
                shared = {name: value for name, value in recipe.items() if name != "seed"}
                conditions = {name: str(row[name]) for name in _CONDITIONS}
                key = key_of({"recipe": shared, "row": conditions})
                groups.setdefault(key, []).append(row)
    if not groups:
        return PaperComparison(number, summarize_seeds(()), "not measured")
    candidates = [_candidate(query, group, recipes) for group in groups.values()]
    seeds, reasons = min(candidates, key=lambda each: (len(each[1]), -len(each[0])))
    return _assess(number, seeds, reasons)


def _matches(query: CellQuery, row: Row, recipe: Recipe, substitutes: Substitutes) -> bool:
    """Return whether a row belongs to the cell's checkpoints and test set."""
    training_set = query.recipe["dataset"]
    if row["test_set"] != substitutes.names.get(training_set, training_set):
        return False
    candidates = substitutes.recipes.get(row["checkpoint"], (recipe,))
    return any(matches_recipe(query, candidate) for candidate in candidates)


def _accepts(accepted: Mapping[str, Sequence[Any]], at: Row) -> bool:
    """Return whether a row has exactly the axes of a query, with accepted values."""
    return at.keys() == accepted.keys() and all(at[axis] in accepted[axis] for axis in at)


def _candidate(
    query: CellQuery, rows: Sequence[Row], recipes: Mapping[str, Recipe | None]
) -> tuple[list[Row], tuple[str, ...]]:
    """Return a group's rows, one per seed, and their deviations from the paper's protocol."""
    by_seed = {row["seed"]: row for row in rows}
    seeds = [by_seed[seed] for seed in sorted(by_seed)]
    recipe = recipes[seeds[0]["run"]] or {}
    return seeds, deviations(query, recipe, [{**row, **row["at"]} for row in seeds])


def _assess(number: PaperNumber, seeds: Sequence[Row], reasons: tuple[str, ...]) -> PaperComparison:
    """Assess whether the paper's mean could be one more mean of the measured networks.

    Up to rounding, the printed mean must lie in the 95 % prediction interval of the mean of as many
    further networks as the paper has. Any deviation from the paper's protocol among `reasons` rules
    out the comparison.
    """
    verdict: Verdict
    measured = summarize_seeds(row["value"] for row in seeds)
    low, high = prediction_interval(measured, number.seeds)
    if reasons:
        verdict = "not comparable"
    elif measured.n < SEEDS:
        verdict, reasons = "too few seeds", (f"{measured.n} of {SEEDS} seeds",)
    else:
        inside = low - number.rounding <= number.value <= high + number.rounding
        verdict = "reproduced" if inside else "not reproduced"
    checkpoints = tuple(row["checkpoint"] for row in seeds)
    return PaperComparison(
        number, measured, verdict, low, high, reasons, seeds[0]["metric"], checkpoints
    )


def deviations(query: CellQuery, recipe: Recipe, rows: Iterable[Row]) -> tuple[str, ...]:
    """Describe how a checkpoint's training and its measurements deviate from the paper's."""
    of_rows = itertools.chain.from_iterable(_row_deviations(query, row) for row in rows)
    return tuple(dict.fromkeys([*_recipe_deviations(query, recipe), *of_rows]))


def _recipe_deviations(query: CellQuery, recipe: Recipe) -> list[str]:
    """Describe recipe fields whose values are neither accepted nor ignored."""
    reasons = [
        f"{name.replace('_', ' ')} {recipe[name]}, not {accepted}"
        for name, accepted in query.recipe.items()
        if name in ("dataset", "arch") and recipe.get(name) != accepted
    ]
    unused = () if recipe.get("sd_dropout") else ("drop_rate", "temperature")
    reasons += protocol_deviations(query.protocol, recipe, {*query.recipe, *unused})
    return reasons + _option_deviations(query, recipe)


def protocol_deviations(
    protocol: Mapping[str, Sequence[Any]], recipe: Recipe, ignored: Container[str]
) -> list[str]:
    """Describe fields of a recipe that are neither as a protocol accepts nor the defaults.

    Fields that the protocol does not name have the defaults; those in `ignored`, and those that do
    not change the numbers, may have any value.
    """
    defaults = records.encode(records.Recipe())
    complete = records.upgraded(records.Recipe, recipe)
    reasons = []
    for name, value in complete.items():
        given = name in recipe or name in protocol
        if not given or name in _IGNORED_FIELDS or name in ignored:
            continue
        accepted = protocol.get(name, (defaults.get(name),))
        if value not in [records.encode(choice) for choice in accepted]:
            reasons.append(f"{name.replace('_', ' ')} {value}, not {accepted[0]}")
    return reasons


def _option_deviations(query: CellQuery, recipe: Recipe) -> list[str]:
    defaults = default_options(str(recipe.get("method")))
    return [
        f"{recipe['method']} {name.replace('_', ' ')} {value}, not {defaults[name]}"
        for name, value in (recipe.get("method_options") or {}).items()
        if name not in query.recipe.get("method_options", ()) and defaults.get(name, value) != value
    ]


@functools.cache
def default_options(method: str) -> Mapping[str, Any]:
    """Return the default options of a method; none if it is not installed."""
    try:
        encoded: dict[str, Any] = records.encode(plugins.load("methods", method)())
    except InputError:
        return {}
    return encoded


def _row_deviations(query: CellQuery, row: Row) -> list[str]:
    """Describe a subset of the images, unofficial data, or another metric, OOD set or constants."""
    reasons = [f"only {row['n']:,} images"] if row["limited"] else []
    reasons += [part for part in str(row["data"]).split("; ") if not part.endswith(": official")]
    if row["metric"] != query.metrics[0]:
        reasons.append(f"{row['metric']}, not {query.metrics[0]}")
    outliers = query.at.get("outliers")
    if outliers and row["outliers"] != outliers[0]:
        reasons.append(f"outliers {row['outliers']}, not {outliers[0]}")
    if row.get("constants") not in (None, "paper"):
        reasons.append(f"standardised with {row['constants']} constants, not the paper's")
    return reasons
