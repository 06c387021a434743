"""Two networks on the same images: each number's difference, its interval, and its test."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sdd_eval.comparison.families import Families, adjust_rows, family_of
from sdd_eval.comparison.matching import StoredRun, comparable_protocol, match_runs
from sdd_eval.comparison.records import MAXIMA, MetricDifference, PairComparison
from sdd_eval.comparison.run_statistics import (
    PER_NETWORK_PROTOCOL,
    key_of,
    statistics_of,
    untested_reason,
)
from sdd_eval.comparison.statistic import Key, KeyedStatistic
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Measurement, Run
from sdd_eval.statistics.bootstrap import Floats, basic_interval
from sdd_eval.statistics.sums import EXCEEDANCES, bootstrap_differences, permutation_p_values
from sdd_eval.statistics.tests import mcnemar, permutations_needed

#: What two networks' numbers are about.
NETWORKS = "these two networks, new images"
#: How many resamples of the images an interval of a difference takes.
RESAMPLES = 1000
#: How many of a number's last digits ranks of equally many images, and float32, may cost.
AGREES = 2e-3

McNemars = Literal["mid-p", "exact"]


@dataclass(frozen=True)
class Side:
    """The parts of a run, and where each number is among them."""

    run: Run
    parts: tuple[KeyedStatistic, ...]

    def place(self, name: Key) -> tuple[int, int] | None:
        """The part that has a number, and its row there."""
        return self._places.get(name)

    @cached_property
    def _places(self) -> dict[Key, tuple[int, int]]:
        return {
            name: (index, column)
            for index, part in reversed(list(enumerate(self.parts)))
            for column, name in enumerate(part.keys)
        }


def compare_networks(
    base: Sequence[StoredRun],
    other: Sequence[StoredRun],
    families: Families,
    *,
    pairs: int = 1,
    test: McNemars = "mid-p",
    progress: Progress | None = None,
) -> PairComparison:
    """All numbers of two networks' runs that may be joined, tested on the same images.

    Shares of images have McNemar's test; all else that images add up to the paired permutation
    test, with as many permutations as the largest family that it is in needs when so many `pairs`
    of networks are compared together. p-values are adjusted within this pair.
    """
    progress = progress or NoProgress()
    matched, apart = match_runs(base, other)
    rows: list[MetricDifference] = []
    tasks: list[tuple[Side, Side, list[tuple[int, MetricDifference, Key]]]] = []
    for one, two in matched:
        drafted, protocols = _drafted(one.run, two.run, families)
        apart += protocols
        sides = Side(one.run, statistics_of(one)), Side(two.run, statistics_of(two))
        numbered = [(len(rows) + i, row, name) for i, (row, name) in enumerate(drafted)]
        rows += [row for row, _ in drafted]
        tasks.append((*sides, numbered))
    needed = _permutations(tasks, pairs)
    total = sum(len(first.parts) for first, _, _ in tasks)
    progress.start("comparing", total)
    for first, second, numbered in tasks:
        for index, row in _tested(first, second, numbered, needed, test, progress):
            rows[index] = row
    names = base[0].run.checkpoint, other[0].run.checkpoint
    found = tuple(adjust_rows(rows))
    return PairComparison((names[0],), (names[1],), NETWORKS, found, tuple(apart), dict(families))


def _drafted(
    base: Run, other: Run, families: Families
) -> tuple[list[tuple[MetricDifference, Key]], list[str]]:
    """Rows without a test of all numbers that both have by the same protocol; the rest in lines."""
    theirs = {measurement_id(each): each for each in other.measurements}
    found, apart = [], []
    for one in base.measurements:
        two = theirs.get(measurement_id(one))
        if two is None:
            continue
        if not same_protocol(one, two):
            apart.append(f"{base.evaluator}, {describe(one)}: differ: protocols")
            continue
        family = family_of(base.evaluator, one.metric, one.at, base.settings, families)
        found.append((untested_row(base, one, (one.value, two.value), family), key_of(base, one)))
    return found, list(dict.fromkeys(apart))


def same_protocol(one: Measurement, two: Measurement) -> bool:
    """Whether two numbers follow one protocol, what was fitted or found of a network aside."""
    return one.metric in PER_NETWORK_PROTOCOL or comparable_protocol(
        one.protocol
    ) == comparable_protocol(two.protocol)


def untested_row(
    run: Run, number: Measurement, values: tuple[float, float], family: str
) -> MetricDifference:
    """The row of a number of both sides, not yet tested."""
    return MetricDifference(
        evaluator=run.evaluator,
        dataset=run.dataset,
        metric=number.metric,
        at=dict(number.at),
        unit=number.unit,
        protocol=comparable_protocol(number.protocol),
        n=run.n,
        base=values[0],
        other=values[1],
        difference=values[1] - values[0],
        test=untested_reason(run, number),
        family=family,
    )


def measurement_id(number: Measurement) -> tuple[str, str]:
    """What tells a number from the others of its run."""
    return number.metric, repr(sorted((name, repr(value)) for name, value in number.at.items()))


def describe(number: Measurement) -> str:
    """A metric and where it holds, in words."""
    places = [f"{name} {value}" for name, value in number.at.items()]
    return ", ".join([number.metric, *places])


def _permutations(
    tasks: Sequence[tuple[Side, Side, list[tuple[int, MetricDifference, Key]]]], pairs: int
) -> Mapping[str, int]:
    """How many permutations a number needs, by its family; one in none is a family of its own."""
    sizes = {"": 1}
    for first, _, numbered in tasks:
        for _, row, name in numbered:
            if row.family and first.place(name) is not None:
                sizes[row.family] = sizes.get(row.family, 0) + pairs
    return {
        name: permutations_needed(size, exceedances=exceedances_for(size))
        for name, size in sizes.items()
    }


def exceedances_for(size: int) -> int:
    """How many permutations no less extreme a p at the threshold of a family rests on.

    With fewer than 3 a p near the threshold would be chance; more cost a large family minutes.

    >>> exceedances_for(5), exceedances_for(40), exceedances_for(400)
    (50, 25, 3)
    """
    return max(3, min(EXCEEDANCES, 1000 // size))


#: A part of each side, and the rows that are of it: their number, themselves, their column.
Twins = tuple[KeyedStatistic, KeyedStatistic, list[tuple[int, MetricDifference, int]]]


def _tested(
    first: Side,
    second: Side,
    numbered: Sequence[tuple[int, MetricDifference, Key]],
    needed: Mapping[str, int],
    test: McNemars,
    progress: Progress,
) -> Iterator[tuple[int, MetricDifference]]:
    """The rows of a pair of runs with their tests, part by part."""
    twins = _twins(first, second, numbered)
    for images in dict.fromkeys(part.sums.images for part, _, _ in twins):
        alike = [each for each in twins if each[0].sums.images == images]
        drawn = bootstrap_differences([(p.sums, twin.sums) for p, twin, _ in alike], RESAMPLES)
        for (part, twin, here), differences in zip(alike, drawn, strict=True):
            yield from _of_part(part, twin, here, differences, needed, test)
            progress.advance(1, first.run.evaluator)
    progress.advance(len(first.parts) - len(twins), first.run.evaluator)


def _twins(
    first: Side, second: Side, numbered: Sequence[tuple[int, MetricDifference, Key]]
) -> list[Twins]:
    """The parts that both sides have of the same images, with the rows that are of them."""
    found: list[Twins] = []
    for index, part in enumerate(first.parts):
        alike = (each for each in second.parts if each.keys == part.keys)
        twin = next((e for e in alike if e.sums.images == part.sums.images), None)
        places = [(i, row, first.place(name)) for i, row, name in numbered]
        here = [(i, row, at[1]) for i, row, at in places if at is not None and at[0] == index]
        if twin is not None and here:
            found.append((part, twin, here))
    return found


def _of_part(
    part: KeyedStatistic,
    twin: KeyedStatistic,
    here: Sequence[tuple[int, MetricDifference, int]],
    drawn: Floats,
    needed: Mapping[str, int],
    test: McNemars,
) -> Iterator[tuple[int, MetricDifference]]:
    """The rows of a part with their intervals, and McNemar's test or permutations."""
    values = part.sums.values, twin.sums.values
    estimate = values[1] - values[0]
    most = max(needed[row.family] for _, row, _ in here)
    permuted = None if part.flags is not None else permutation_p_values(part.sums, twin.sums, most)
    for index, row, column in here:
        told = values[0][column], values[1][column]
        if not _agrees(row, *told):
            why = f"no test: its images give {told[0]:.6g} and {told[1]:.6g}, not what the runs say"
            yield index, dataclasses.replace(row, test=why)
            continue
        interval = basic_interval(
            row.difference, drawn[:, column] - estimate[column] + row.difference
        )
        found = dataclasses.replace(row, low=interval.low, high=interval.high)
        if row.metric in MAXIMA:
            found = row
        if part.flags is not None and twin.flags is not None:
            flags = mcnemar(part.flags[:, column], twin.flags[:, column])
            p = flags.exact if test == "exact" else flags.mid_p
            yield index, dataclasses.replace(found, p=p, test=f"McNemar, {test}")
        elif permuted is not None:
            p, count = float(permuted[0][column]), int(permuted[1][column])
            yield (
                index,
                dataclasses.replace(found, p=p, permutations=count, test="paired permutation"),
            )


def _agrees(row: MetricDifference, base: float, other: float) -> bool:
    """Whether what images add up to is what the runs say, so that it is the same number."""
    if math.isnan(row.difference):
        return False
    return bool(np.allclose([row.base, row.other], [base, other], rtol=AGREES, atol=AGREES))
