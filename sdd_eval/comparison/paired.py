"""Compare two networks on the same images: differences, intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

#: What the intervals and tests of two networks generalise to.
MEANING = "these two networks, new images"
#: Number of bootstrap resamples of a difference.
RESAMPLES = 1000
#: Tolerance, relative and absolute, for errors by ranks of equally many images and by float32.
TOLERANCE = 2e-3

McNemarVariant = Literal["mid-p", "exact"]


@dataclass(frozen=True)
class RunStatistics:
    """A run, its statistics, and the position of each measurement among them."""

    run: Run
    statistics: tuple[KeyedStatistic, ...]

    def position(self, key: Key) -> tuple[int, int] | None:
        """Return the statistic and the row in it that a key names, if there is one."""
        return self._positions.get(key)

    @cached_property
    def _positions(self) -> dict[Key, tuple[int, int]]:
        return {
            key: (index, row)
            for index, statistic in reversed(list(enumerate(self.statistics)))
            for row, key in enumerate(statistic.keys)
        }


#: The index of a row of the comparison, the row without its test, and its measurement's key.
IndexedRow = tuple[int, MetricDifference, Key]
#: A statistic of both sides, and the rows that it tests: their index, themselves, their column.
StatisticPair = tuple[KeyedStatistic, KeyedStatistic, list[tuple[int, MetricDifference, int]]]


def compare_networks(
    base: Sequence[StoredRun],
    other: Sequence[StoredRun],
    families: Families,
    *,
    pairs: int = 1,
    test: McNemarVariant = "mid-p",
    progress: Progress | None = None,
) -> PairComparison:
    """Compare all measurements of two networks' comparable runs, tested on the same images.

    Shares of images have McNemar's test, other functions of sums over images the paired permutation
    test. p-values are adjusted within this pair.

    Args:
        base, other: the runs of the two networks.
        families: the families of hypotheses.
        pairs: number of pairs that are compared together; the number of permutations suffices for
            the family that they form.
        test: variant of McNemar's test.
        progress: reports progress.
    """
    progress = progress or NoProgress()
    matched, unmatched = match_runs(base, other)
    rows: list[MetricDifference] = []
    tasks: list[tuple[RunStatistics, RunStatistics, list[IndexedRow]]] = []
    for one, two in matched:
        untested, incomparable = _untested_rows(one.run, two.run, families)
        unmatched += incomparable
        indexed = [(len(rows) + i, row, key) for i, (row, key) in enumerate(untested)]
        rows += [row for row, _ in untested]
        first, second = (RunStatistics(side.run, statistics_of(side)) for side in (one, two))
        tasks.append((first, second, indexed))
    permutations = _permutations(tasks, pairs)
    progress.start("comparing", sum(len(first.statistics) for first, _, _ in tasks))
    for first, second, indexed in tasks:
        for index, row in _tested_rows(first, second, indexed, permutations, test, progress):
            rows[index] = row
    return PairComparison(
        (base[0].run.checkpoint,),
        (other[0].run.checkpoint,),
        MEANING,
        tuple(adjust_rows(rows)),
        tuple(unmatched),
        dict(families),
    )


def _untested_rows(
    base: Run, other: Run, families: Families
) -> tuple[list[tuple[MetricDifference, Key]], list[str]]:
    """Return a row for each measurement that both runs have by the same protocol.

    Also returns a line for each measurement whose protocols differ.
    """
    others = {measurement_id(number): number for number in other.measurements}
    rows, incomparable = [], []
    for one in base.measurements:
        two = others.get(measurement_id(one))
        if two is None:
            continue
        if not same_protocol(one, two):
            incomparable.append(f"{base.evaluator}, {describe(one)}: differ: protocols")
            continue
        family = family_of(base.evaluator, one.metric, one.at, base.settings, families)
        row = untested_row(base, one, (one.value, two.value), family)
        rows.append((row, key_of(base, one)))
    return rows, list(dict.fromkeys(incomparable))


def same_protocol(one: Measurement, two: Measurement) -> bool:
    """Whether two measurements share a protocol, apart from values found for each network."""
    if one.metric in PER_NETWORK_PROTOCOL:
        return True
    return comparable_protocol(one.protocol) == comparable_protocol(two.protocol)


def untested_row(
    run: Run, number: Measurement, values: tuple[float, float], family: str
) -> MetricDifference:
    """Return the row of a measurement without a test; `values` are those of both sides."""
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
    """Return what identifies a measurement within its run."""
    return number.metric, repr(sorted((axis, repr(value)) for axis, value in number.at.items()))


def describe(number: Measurement) -> str:
    """Return a measurement's metric and axes as text."""
    axes = [f"{axis} {value}" for axis, value in number.at.items()]
    return ", ".join([number.metric, *axes])


def _permutations(
    tasks: Sequence[tuple[RunStatistics, RunStatistics, list[IndexedRow]]], pairs: int
) -> Mapping[str, int]:
    """Return the number of permutations by family; "" is for tests outside all families."""
    sizes = {"": 1}
    for first, _, indexed in tasks:
        for _, row, key in indexed:
            if row.family and first.position(key) is not None:
                sizes[row.family] = sizes.get(row.family, 0) + pairs
    return {
        family: permutations_needed(size, exceedances=exceedances_for(size))
        for family, size in sizes.items()
    }


def exceedances_for(size: int) -> int:
    """Return the exceedances that p-values near the threshold of a family rest on.

    Fewer than 3 would make such a p-value arbitrary; more take minutes in a large family.

    >>> exceedances_for(5), exceedances_for(40), exceedances_for(400)
    (50, 25, 3)
    """
    return max(3, min(EXCEEDANCES, 1000 // size))


def _tested_rows(
    first: RunStatistics,
    second: RunStatistics,
    indexed: Sequence[IndexedRow],
    permutations: Mapping[str, int],
    test: McNemarVariant,
    progress: Progress,
) -> Iterator[tuple[int, MetricDifference]]:
    """Yield the rows of a pair of runs with their tests, and their indices."""
    pairs = _statistic_pairs(first, second, indexed)
    for images in dict.fromkeys(one.sums.images for one, _, _ in pairs):
        same_images = [pair for pair in pairs if pair[0].sums.images == images]
        sums = [(one.sums, two.sums) for one, two, _ in same_images]
        for pair, replicates in zip(
            same_images, bootstrap_differences(sums, RESAMPLES), strict=True
        ):
            yield from _tested(pair, replicates, permutations, test)
            progress.advance(1, first.run.evaluator)
    progress.advance(len(first.statistics) - len(pairs), first.run.evaluator)


def _statistic_pairs(
    first: RunStatistics, second: RunStatistics, indexed: Sequence[IndexedRow]
) -> list[StatisticPair]:
    """Return the statistics that both sides have of the same images, with their rows."""
    pairs: list[StatisticPair] = []
    positions = [(i, row, first.position(key)) for i, row, key in indexed]
    for index, one in enumerate(first.statistics):
        same_keys = (two for two in second.statistics if two.keys == one.keys)
        two = next((two for two in same_keys if two.sums.images == one.sums.images), None)
        rows = [(i, row, at[1]) for i, row, at in positions if at is not None and at[0] == index]
        if two is not None and rows:
            pairs.append((one, two, rows))
    return pairs


def _tested(
    pair: StatisticPair,
    replicates: Floats,
    permutations: Mapping[str, int],
    test: McNemarVariant,
) -> Iterator[tuple[int, MetricDifference]]:
    """Yield the rows of a statistic with their intervals and tests, and their indices."""
    one, two, rows = pair
    base, other = one.sums.values, two.sums.values
    p_values, counts = None, None
    if one.flags is None:
        most = max(permutations[row.family] for _, row, _ in rows)
        p_values, counts = permutation_p_values(one.sums, two.sums, most)
    for index, row, column in rows:
        values = float(base[column]), float(other[column])
        if not _agrees(row, *values):
            recomputed = f"{values[0]:.6g} and {values[1]:.6g}, not the runs' values"
            yield index, replace(row, test=f"no test: the stored arrays give {recomputed}")
            continue
        changes = replicates[:, column] - (other[column] - base[column])
        row = _with_interval(row, changes + row.difference)
        if one.flags is not None and two.flags is not None:
            result = mcnemar(one.flags[:, column], two.flags[:, column])
            p = result.exact if test == "exact" else result.mid_p
            yield index, replace(row, p=p, test=f"McNemar, {test}")
        elif p_values is not None and counts is not None:
            p, count = float(p_values[column]), int(counts[column])
            yield index, replace(row, p=p, permutations=count, test="paired permutation")


def _with_interval(row: MetricDifference, replicates: Floats) -> MetricDifference:
    """Return a row with its bootstrap interval; maxima have none."""
    if row.metric in MAXIMA:
        return row
    interval = basic_interval(row.difference, replicates)
    return replace(row, low=interval.low, high=interval.high)


def _agrees(row: MetricDifference, base: float, other: float) -> bool:
    """Whether the statistics give the runs' values, and so are the same measurement."""
    if math.isnan(row.difference):
        return False
    values, expected = [base, other], [row.base, row.other]
    return bool(np.allclose(expected, values, rtol=TOLERANCE, atol=TOLERANCE))
