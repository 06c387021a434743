"""How many seeds or images would reveal a difference of a given size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.gate import measurement_of
from sdd_eval.comparison.matching import StoredRun, load_runs
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.store import load_comparisons
from sdd_eval.statistics.intervals import LEVEL, normal_quantile
from sdd_eval.statistics.seeds import required_seeds

#: Statistical power: probability of detecting a true difference.
POWER = 0.8


@dataclass(frozen=True)
class Requirement:
    """What it takes to detect a difference between two sides.

    Attributes:
        base, others: the checkpoints of both sides.
        row: the compared number.
        change: the size of the true difference to be detected.
        unit: the sample unit to increase, "seeds" (on each side) or "images".
        n: current number of these units.
        needed: number that detects the difference with the given power; None if it cannot be
            determined from the study, or no number suffices.
    """

    base: tuple[str, ...]
    others: tuple[str, ...]
    row: MetricDifference
    change: float
    unit: Literal["seeds", "images"]
    n: int
    needed: int | None


def requirements(
    study: Path, change: float | None = None, *, power: float = POWER
) -> Iterator[Requirement]:
    """Yield the requirement for each number that summarises a network in the stored comparisons.

    `change` is the size of the difference, by default the observed one. Over seeds, Welch's test
    must detect it, given the standard deviations of the study's seeds; for two networks, the
    study's paired interval, whose half-width shrinks as 1 / sqrt(images), must exclude 0. p-values
    are not adjusted, so a family of several tests needs more.
    """
    for comparison in load_comparisons(study)[0]:
        for pair in comparison.pairs:
            sides = [
                [load_runs(study, name) for name in names] for names in (pair.base, pair.others)
            ]
            for row in pair.rows:
                if row.family == HEADLINE:
                    yield _requirement(pair, row, sides, change, power)


def _requirement(
    pair: PairComparison,
    row: MetricDifference,
    sides: Sequence[Sequence[Sequence[StoredRun]]],
    change: float | None,
    power: float,
) -> Requirement:
    size = abs(row.difference if change is None else change)
    if min(len(pair.base), len(pair.others)) > 1:
        found = [[measurement_of(row, runs) for runs in side] for side in sides]
        first, second = ([m.value for m in side if m is not None] for side in found)
        n, needed = min(len(first), len(second)), required_seeds(first, second, size, power=power)
        return Requirement(pair.base, pair.others, row, size, "seeds", n, needed)
    needed = _required_images(row, size, power)
    return Requirement(pair.base, pair.others, row, size, "images", row.n, needed)


def _required_images(row: MetricDifference, change: float, power: float) -> int | None:
    """Return the number of images at which an interval of this width detects a difference.

    >>> row = MetricDifference("e", "d", "m", {}, "fraction", "", 1000, 0, 0, 0, "", -0.02, 0.02)
    >>> _required_images(row, 0.01, 0.8)  # (0.02 / 1.96 · (1.96 + 0.84) / 0.01)² · 1000
    8173
    """
    if row.low is None or row.high is None or change == 0:
        return None
    error = (row.high - row.low) / (2 * normal_quantile(LEVEL))
    reach = normal_quantile(LEVEL) + normal_quantile(2 * power - 1)
    return math.ceil(row.n * (error * reach / change) ** 2)
