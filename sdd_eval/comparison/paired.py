"""Compare two networks on the same images: differences, intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sdd_eval.comparison.differences import McNemarVariant, PairedDifference, paired_differences
from sdd_eval.comparison.families import Families, adjust_rows, family_of
from sdd_eval.comparison.matching import StoredRun, match_runs
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.run_statistics import Key, RunStatistics, key, statistics_of
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Measurement
from sdd_eval.statistics.hypothesis_tests import permutations_needed
from sdd_eval.statistics.statistic import Statistic
from sdd_eval.statistics.sums import EXCEEDANCES

#: What the intervals and tests of two networks generalise to.
MEANING = "these two networks, new images"
#: Relative and absolute tolerance for errors due to ranks of equally many images and float32.
TOLERANCE = 2e-3

#: Rows without their tests, and their measurements.
Rows = Sequence[tuple[MetricDifference, Measurement]]
#: The values of a number for each network of both sides.
SideValues = Sequence[Sequence[float]]
#: The statistics of both networks, and pairs of an index into `Rows` and a row of the statistics.
StatisticPair = tuple[Statistic, Statistic, list[tuple[int, int]]]


def compare_networks(
    base: Sequence[StoredRun],
    other: Sequence[StoredRun],
    families: Families,
    *,
    pairs: int = 1,
    test: McNemarVariant = "mid-p",
    progress: Progress | None = None,
) -> PairComparison:
    """Compare all measurements in two networks' comparable runs, tested on the same images.

    Shares of images are tested with McNemar's test, other functions of sums over images with the
    paired permutation test. p-values are adjusted within this pair; the number of permutations is
    sufficient for the family formed by all `pairs` that are compared together.
    """
    progress = progress or NoProgress()
    matched, unmatched = match_runs(base, other)
    tasks: list[tuple[RunStatistics, RunStatistics, Rows]] = []
    for one, two in matched:
        first, second = statistics_of(one), statistics_of(two)
        common, incomparable = untested_rows([[first], [second]], families)
        unmatched += incomparable
        tasks.append((first, second, [(row, number) for row, number, _ in common]))
    permutations = _permutations(tasks, pairs)
    progress.start("comparing", sum(len(first.statistics) for first, _, _ in tasks))
    rows: list[MetricDifference] = []
    for first, second, untested in tasks:
        rows += _tested_rows(first, second, untested, permutations, test)
        progress.advance(len(first.statistics), first.run.evaluator)
    return PairComparison(
        (base[0].run.checkpoint,),
        (other[0].run.checkpoint,),
        MEANING,
        tuple(adjust_rows(rows)),
        tuple(unmatched),
        dict(families),
    )


def untested_rows(
    sides: Sequence[Sequence[RunStatistics]], families: Families
) -> tuple[list[tuple[MetricDifference, Measurement, SideValues]], list[str]]:
    """Return a row without a test for each measurement shared by all networks of both sides.

    Each row comes with the measurement of the first network and the values of both sides, whose
    means are in the row. The second value is a line for each measurement with several protocols.
    """
    base = sides[0][0]
    known = [
        [{key(m.metric, m.at): m for m in network.run.measurements} for network in side]
        for side in sides
    ]
    rows: list[tuple[MetricDifference, Measurement, SideValues]] = []
    incomparable, run = [], base.run
    for one in run.measurements:
        number = key(one.metric, one.at)
        if not all(number in network for side in known for network in side):
            continue
        if not all(network[number].protocol == one.protocol for side in known for network in side):
            incomparable.append(f"{run.evaluator}, {_describe(one)}: differ: protocols")
            continue
        values = [[network[number].value for network in side] for side in known]
        family = family_of(run.evaluator, one.metric, one.at, run.settings, families)
        rows.append((_untested_row(base, one, [*map(np.mean, values)], family), one, values))
    return rows, list(dict.fromkeys(incomparable))


def _untested_row(
    base: RunStatistics, number: Measurement, means: Sequence[Any], family: str
) -> MetricDifference:
    """Return the row of a measurement without a test; `means` are those of both sides."""
    reason = base.untested_reason(number) or "the other side has no such statistic"
    first, second = map(float, means)
    return MetricDifference(
        evaluator=base.run.evaluator,
        dataset=base.run.dataset,
        metric=number.metric,
        at=dict(number.at),
        unit=number.unit,
        protocol=number.protocol.text,
        n=base.run.n,
        base=first,
        other=second,
        difference=second - first,
        test=f"no test: {reason}",
        family=family,
    )


def _describe(number: Measurement) -> str:
    """Return a measurement's metric and axes as text."""
    axes = [f"{axis} {value}" for axis, value in number.at.items()]
    return ", ".join([number.metric, *axes])


def _permutations(
    tasks: Sequence[tuple[RunStatistics, RunStatistics, Rows]], pairs: int
) -> Mapping[str, int]:
    """Return the number of permutations by family; "" is for tests outside all families."""
    sizes = {"": 1}
    for first, _, rows in tasks:
        for row, number in rows:
            if row.family and not first.untested_reason(number):
                sizes[row.family] = sizes.get(row.family, 0) + pairs
    return {
        family: permutations_needed(size, exceedances=exceedances_for(size))
        for family, size in sizes.items()
    }


def exceedances_for(size: int) -> int:
    """Return the number of exceedances that p-values near the threshold of a family are based on.

    Fewer than 3 would make such a p-value arbitrary; more take minutes in a large family.

    >>> exceedances_for(5), exceedances_for(40), exceedances_for(400)
    (50, 25, 3)
    """
    return max(3, min(EXCEEDANCES, 1000 // size))


def _tested_rows(
    first: RunStatistics,
    second: RunStatistics,
    rows: Rows,
    permutations: Mapping[str, int],
    test: McNemarVariant,
) -> list[MetricDifference]:
    """Return the rows of a pair of runs, with tests where possible."""
    pairs = _statistic_pairs(first, second, rows)
    most = [max(permutations[rows[i][0].family] for i, _ in columns) for _, _, columns in pairs]
    results = [row for row, _ in rows]
    tested = paired_differences([(one, two) for one, two, _ in pairs], most, test)
    for (one, two, columns), differences in zip(pairs, tested, strict=True):
        for i, column in columns:
            results[i] = _tested(results[i], one, two, column, differences[column])
    return results


def _statistic_pairs(
    first: RunStatistics, second: RunStatistics, rows: Rows
) -> list[StatisticPair]:
    """Return the statistics on the same images that both runs have, with the comparison's rows."""
    others = {_keys(two): two for two in second.statistics}
    positions = [first.position(number) for _, number in rows]
    pairs: list[StatisticPair] = []
    for index, one in enumerate(first.statistics):
        two = others.get(_keys(one))
        if one.untested or two is None or two.untested or one.images != two.images:
            continue
        columns = [(i, at[1]) for i, at in enumerate(positions) if at and at[0] == index]
        if columns:
            pairs.append((one, two, columns))
    return pairs


def _keys(statistic: Statistic) -> tuple[Key, ...]:
    return tuple(key(quantity.metric, quantity.at) for quantity in statistic.quantities)


def _tested(
    row: MetricDifference, one: Statistic, two: Statistic, column: int, result: PairedDifference
) -> MetricDifference:
    """Return a row with its interval and test if the statistics match the runs' measurements."""
    values, expected = [float(side.values[column]) for side in (one, two)], [row.base, row.other]
    # A NaN in the run is not close to any value.
    if not np.allclose(expected, values, rtol=TOLERANCE, atol=TOLERANCE):
        recomputed = f"{values[0]:.6g} and {values[1]:.6g}, not the runs' values"
        return replace(row, test=f"no test: the stored arrays give {recomputed}")
    shift = row.difference - result.value
    return replace(
        row,
        low=None if result.low is None else result.low + shift,
        high=None if result.high is None else result.high + shift,
        p=result.p,
        test=result.test,
        permutations=result.permutations,
    )
