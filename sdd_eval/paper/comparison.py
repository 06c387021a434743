"""Measured numbers beside the paper's, cell by cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.paper.cell_query import Wanted, is_of, wanted
from sdd_eval.paper.tables import PaperNumber, paper_numbers
from sdd_eval.paper.verdict import Judged, departures, judged
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds
from sdd_eval.store import key_of

if TYPE_CHECKING:
    import pandas

#: The column of a tidy table with which its axes begin.
FIRST_AXIS = "corruption"

Recipe = Mapping[str, Any]
Row = Mapping[str, Any]
#: Where a row holds: its axes with their values.
Place = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class StandIns:
    """What a study in small measures in place of what the paper does.

    `names` are the data sets and networks in place of the paper's; `recipes` gives for a
    checkpoint the recipes that it stands for.
    """

    names: Mapping[str, str]
    recipes: Mapping[str, Sequence[Recipe]]


@dataclass(frozen=True)
class Beside:
    """A number of the paper's and what was measured of it; fractions where the paper has percent.

    `metric` is what was measured: of regenerated images not the paper's.
    """

    number: PaperNumber
    measured: SeedSummary
    judged: Judged
    metric: str = ""
    checkpoints: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Measured less the paper's; NaN where nothing was measured."""
        return self.measured.mean - self.number.value


def set_beside(
    results: pandas.DataFrame,
    recipes: Mapping[str, Recipe | None],
    stand_ins: StandIns | None = None,
    numbers: Iterable[PaperNumber] | None = None,
) -> tuple[Beside, ...]:
    """The paper's numbers, in its order, each with the mean over seeds that answers to it.

    Of several recipes that would do, the one that departs least from the paper's protocol counts,
    then the one with most seeds.

    Args:
        results: the tidy table (`sdd_eval.report.tables.results`); rows with a note stay out.
        recipes: for each run's name (column `run`) the recipe of its checkpoint, as a card has it;
            None where that was imported.
        stand_ins: what stands for the paper's sets and networks in a small study.
        numbers: which numbers; all of the paper's by default.
    """
    ins = stand_ins or StandIns({}, {})
    rows = _by_metric(results)
    asked = paper_numbers() if numbers is None else numbers
    return tuple(_beside(number, rows, recipes, ins) for number in asked)


def _by_metric(results: pandas.DataFrame) -> dict[tuple[str, str], dict[Place, list[Row]]]:
    """The usable rows by evaluator and metric, then by place; axes that a row has not left out."""
    columns = [str(name) for name in results.columns]
    axes = columns[columns.index(FIRST_AXIS) :]
    asked = [wanted(number) for number in paper_numbers()]
    known = {(each.evaluator, metric) for each in asked for metric in each.metrics}
    pairs = zip(results["evaluator"], results["metric"], strict=True)
    asked_for = np.array([pair in known for pair in pairs], dtype=bool)
    kept = results[asked_for & (results["note"] == "").to_numpy(dtype=bool)]
    found: dict[tuple[str, str], dict[Place, list[Row]]] = {}
    for record in kept.to_dict("records"):
        at = {name: record.pop(name) for name in axes}
        record["at"] = {n: v for n, v in at.items() if v is not None and v == v}
        places = found.setdefault((record["evaluator"], record["metric"]), {})
        places.setdefault(tuple(record["at"].items()), []).append(record)
    return found


def _beside(
    number: PaperNumber,
    rows: Mapping[tuple[str, str], Mapping[Place, Sequence[Row]]],
    recipes: Mapping[str, Recipe | None],
    ins: StandIns,
) -> Beside:
    """One number with the best group of networks that answers to it."""
    asked = wanted(number)
    groups: dict[str, list[Row]] = {}
    for metric in asked.metrics:
        places = rows.get((asked.evaluator, metric), {})
        alike = (own for at, own in places.items() if _holds(asked.at, dict(at), ins.names))
        for row in itertools.chain.from_iterable(alike):
            recipe = recipes.get(row["run"])
            if recipe is not None and _answers(asked, row, recipe, ins):
                groups.setdefault(_group(row, recipe), []).append(row)
    if not groups:
        return Beside(number, summarize_seeds(()), judged(number, summarize_seeds(()), ()))
    candidates = [_candidate(asked, group, recipes) for group in groups.values()]
    seeds, unlike = min(candidates, key=lambda each: (len(each[1]), -len(each[0])))
    measured = summarize_seeds(row["value"] for row in seeds)
    return Beside(
        number=number,
        measured=measured,
        judged=judged(number, measured, unlike),
        metric=seeds[0]["metric"],
        checkpoints=tuple(row["checkpoint"] for row in seeds),
    )


def _answers(asked: Wanted, row: Row, recipe: Recipe, ins: StandIns) -> bool:
    """Whether a row is of the cell's kind of checkpoint, on its test set."""
    if row["test_set"] != ins.names.get(asked.recipe["dataset"], asked.recipe["dataset"]):
        return False
    meant = ins.recipes.get(row["checkpoint"], (recipe,))
    return any(is_of(asked, each) for each in meant)


def _holds(wanted_at: Mapping[str, Sequence[Any]], at: Row, names: Mapping[str, str]) -> bool:
    """Whether a row's axes are just those that are wanted, with accepted values."""
    accepted = {
        axis: [names.get(value, value) for value in values] for axis, values in wanted_at.items()
    }
    return at.keys() == accepted.keys() and all(at[axis] in accepted[axis] for axis in at)


def _group(row: Row, recipe: Recipe) -> str:
    """What all seeds behind one mean share."""
    shared = {name: value for name, value in recipe.items() if name != "seed"}
    place = {name: row[name] for name in ("metric", "dataset", "n", "limited", "data", "at")}
    return key_of({"recipe": shared, "place": {name: str(v) for name, v in place.items()}})


def _candidate(
    asked: Wanted, rows: Sequence[Row], recipes: Mapping[str, Recipe | None]
) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of a group, one a seed, and how they depart from the paper's protocol."""
    of_seed = {row["seed"]: row for row in rows}
    seeds = [of_seed[seed] for seed in sorted(of_seed)]
    recipe = recipes[seeds[0]["run"]] or {}
    return seeds, departures(asked, recipe, [_flat(row) for row in seeds])


def _flat(row: Row) -> dict[str, Any]:
    return {**row, **row["at"]}
