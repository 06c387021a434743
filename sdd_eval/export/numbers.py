"""The final numbers of a checkpoint with their intervals, and the curves of its training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.checkpoints.folder import HISTORY, is_checkpoint, read_card
from sdd_eval.checkpoints.history import training_curves
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.figures.selection import as_dicts
from sdd_eval.metrics.registry import metric
from sdd_eval.report.runs import RunCollection, read_runs
from sdd_eval.report.tables.groups import arch_of, used_recipe
from sdd_eval.report.tables.results import axes_of, protocol_texts, tidy
from sdd_eval.report.tables.sections import without_bins_and_severities
from sdd_eval.report.tables.summary import usable

if TYPE_CHECKING:
    import pandas

#: The facts about a checkpoint that are not part of its recipe.
IDENTITY = ("checkpoint", "weights_sha256", "arch")


@dataclass(frozen=True)
class Number:
    """A final number with its interval, if it has one, and how it was measured.

    `name` is EVALUATOR/METRIC, followed by the axes as NAME=VALUE.
    """

    name: str
    value: float
    low: float
    high: float
    description: str

    @property
    def values(self) -> dict[str, float]:
        """The value by its name, and the ends of the interval by NAME low and NAME high."""
        ends = {f"{self.name} low": self.low, f"{self.name} high": self.high}
        return {self.name: self.value, **{k: end for k, end in ends.items() if not math.isnan(end)}}


@dataclass(frozen=True)
class CheckpointNumbers:
    """The runs of one checkpoint in a study, and its training: each epoch with its values."""

    name: str
    study: Path
    collection: RunCollection
    epochs: tuple[tuple[int, Mapping[str, float]], ...]

    @cached_property
    def results(self) -> pandas.DataFrame:
        """The table of all its numbers, as in `results.csv`."""
        return tidy(self.collection.runs)

    @cached_property
    def protocols(self) -> Mapping[str, str]:
        """The sentence that describes each protocol of its numbers, by id."""
        return protocol_texts(self.collection.runs)

    @property
    def facts(self) -> dict[str, Any]:
        """The network, its weights' SHA-256, and its recipe, if that is known."""
        first = self.collection.runs[0]
        recipe = {k: v for k, v in used_recipe(first).items() if v not in (None, [], {})}
        values = (self.name, first.run.weights_sha256, arch_of(first))
        return {**recipe, **dict(zip(IDENTITY, values, strict=True))}

    @property
    def numbers(self) -> list[Number]:
        """The final numbers, without those of a single bin or severity; names are unique."""
        rows = without_bins_and_severities(usable(self.results))
        rows = rows[rows["value"].notna()]
        several = rows.groupby("evaluator")["dataset"].nunique() > 1
        numbers = [self._number(row, bool(several[row["evaluator"]])) for row in as_dicts(rows)]
        counts = Counter(number.name for number in numbers)
        runs = [Path(name).stem for name in rows["run"]]
        return [
            replace(number, name=f"{number.name} run={run}") if counts[number.name] > 1 else number
            for number, run in zip(numbers, runs, strict=True)
        ]

    def _number(self, row: Mapping[str, Any], several: bool) -> Number:
        axes = {axis: row[axis] for axis in axes_of(self.results)}
        known = {"dataset": row["dataset"]} if several else {}
        known |= {k: v for k, v in axes.items() if v is not None and v == v}
        at = [f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in known.items()]
        title, protocol = metric(row["metric"]).title, self.protocols.get(row["protocol_id"], "")
        images = f"{row['n']:,} images of {row['dataset']}"
        return Number(
            name=" ".join([f"{row['evaluator']}/{row['metric']}", *at]),
            value=row["value"],
            low=row["low"],
            high=row["high"],
            description="; ".join(filter(None, (title, images, protocol))),
        )


def read_numbers(name: str, study: Path, parent: Path) -> CheckpointNumbers:
    """Read the runs of a checkpoint in a study, and its history in the folder of checkpoints.

    Runs that the report excludes, such as those of older weights, are left out. A checkpoint
    without a folder there, such as one of which only the report was received, has no curves.

    Raises:
        InputError: the study has no usable run of it, its history is damaged, or the checkpoint in
            the folder has other weights than the runs.
    """
    collection = read_runs([study])
    runs = tuple(entry for entry in collection.runs if entry.run.checkpoint == Path(name).name)
    if not runs:
        known = {entry.run.checkpoint for entry in collection.runs}
        raise unknown_name(f"checkpoint in {study}", name, known)
    results = tidy(runs)
    current = {*usable(results)["run"]}
    if not current:
        raise InputError(f"no number of {name} can be used: {results['note'].iloc[0]}")
    runs = tuple(entry for entry in runs if entry.name in current)
    hashes = {entry.run.weights_sha256 for entry in runs}
    epochs = next((_epochs(f, hashes) for f in (Path(name), parent / name) if is_checkpoint(f)), ())
    of_checkpoint = replace(collection, runs=runs)
    return CheckpointNumbers(runs[0].run.checkpoint, study, of_checkpoint, tuple(epochs))


def _epochs(folder: Path, hashes: set[str]) -> Sequence[tuple[int, Mapping[str, float]]]:
    """Return the curves of the training of a checkpoint whose weights have one of the hashes."""
    if read_card(folder).weights_sha256 not in hashes:
        raise InputError(
            f"{folder} has other weights than the runs of the study; evaluate it again, or name "
            "the folder of its checkpoint with --checkpoints"
        )
    return training_curves(folder / HISTORY)
