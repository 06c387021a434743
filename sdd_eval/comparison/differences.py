"""Paired differences of two networks' statistics: intervals and tests on the same images.

Shares of images use Tango's interval and McNemar's test. Other numbers use the paired permutation
test and an interval that combines both networks' intervals by square-and-add with the correlation
of the two numbers; numbers without a closed-form interval use the paired bootstrap. An interval
includes 0 whenever the test does not reject, so that both agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdd_eval.statistics.bootstrap import Floats, basic_interval
from sdd_eval.statistics.closed_form.share import Bounds, difference, paired_difference
from sdd_eval.statistics.hypothesis_tests import mcnemar
from sdd_eval.statistics.intervals import LEVEL
from sdd_eval.statistics.statistic import Statistic
from sdd_eval.statistics.sums import paired_replicates, permutation_p_values

McNemarVariant = Literal["mid-p", "exact"]
#: Number of resamples for a bootstrap interval, and for the correlation of two numbers.
RESAMPLES, CORRELATION_RESAMPLES = 1000, 200
#: Rounding error in the ends of an interval.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """The second network's number minus the first's, with its interval, p-value and test."""

    value: float
    low: float | None
    high: float | None
    p: float
    test: str
    permutations: int | None = None


def paired_differences(
    pairs: Sequence[tuple[Statistic, Statistic]],
    permutations: Sequence[int],
    test: McNemarVariant = "mid-p",
) -> list[list[PairedDifference]]:
    """Return the differences for each row of each pair of two networks' statistics.

    `permutations` is the maximum number of permutations for each pair.
    """
    replicates = _replicates(pairs)
    return [
        _of_flags(first, second, test)
        if first.flags is not None and second.flags is not None
        else _of_sums(first, second, replicates.get(index), permutations[index])
        for index, (first, second) in enumerate(pairs)
    ]


def _replicates(
    pairs: Sequence[tuple[Statistic, Statistic]],
) -> Mapping[int, tuple[Floats, Floats]]:
    """Return paired bootstrap replicates of the pairs that need them, by index."""
    replicates: dict[int, tuple[Floats, Floats]] = {}
    for resamples in (RESAMPLES, CORRELATION_RESAMPLES):
        needed = [i for i, (first, _) in enumerate(pairs) if _resamples(first) == resamples]
        for images in dict.fromkeys(pairs[i][0].images for i in needed):
            indices = [i for i in needed if pairs[i][0].images == images]
            sums = [(pairs[i][0].sums, pairs[i][1].sums) for i in indices]
            replicates |= dict(zip(indices, paired_replicates(sums, resamples), strict=True))
    return replicates


def _resamples(statistic: Statistic) -> int:
    """Return the number of bootstrap resamples needed for a pair of such statistics."""
    if statistic.flags is not None:
        return 0
    if statistic.bounds is None:
        return RESAMPLES
    return 0 if statistic.influence is not None else CORRELATION_RESAMPLES


def _of_flags(first: Statistic, second: Statistic, test: McNemarVariant) -> list[PairedDifference]:
    """Return the differences of shares or counts of images."""
    rows = []
    for one, two in zip(*(np.asarray(side.flags).T for side in (first, second)), strict=True):
        result = mcnemar(one, two)
        bounds = paired_difference(result.lost, result.gained, len(one))
        p = result.exact if test == "exact" else result.mid_p
        value, low, high = (first.scale * end for end in bounds[:3])
        low, high = _agreeing(p, low, high)
        rows.append(PairedDifference(value, low, high, p, f"McNemar, {test}"))
    return rows


def _of_sums(
    first: Statistic,
    second: Statistic,
    replicates: tuple[Floats, Floats] | None,
    permutations: int,
) -> list[PairedDifference]:
    """Return the differences of functions of sums over images."""
    p_values, counts = permutation_p_values(first.sums, second.sums, permutations)
    rows = []
    for row, p in enumerate(p_values.tolist()):
        value = float(second.values[row] - first.values[row])
        ends = _ends(first, second, row, replicates)
        low, high = _agreeing(p, *ends) if ends else (None, None)
        rows.append(PairedDifference(value, low, high, p, "paired permutation", int(counts[row])))
    return rows


def _agreeing(p: float, low: float, high: float) -> tuple[float, float]:
    """Return an interval that includes 0 if the test does not reject."""
    return (min(low, 0.0), max(high, 0.0)) if p > 1 - LEVEL else (low, high)


def _ends(
    first: Statistic, second: Statistic, row: int, replicates: tuple[Floats, Floats] | None
) -> tuple[float, float] | None:
    """Return the interval of a row's difference; None if a network's number has none."""
    value = float(second.values[row] - first.values[row])
    widest = first.highest - first.lowest
    if first.bounds is None and replicates is not None:
        changes = replicates[1][:, row] - replicates[0][:, row]
        interval = basic_interval(value, changes, lowest=-widest, highest=widest).around(value)
        return None if math.isnan(interval.low) else (interval.low, interval.high)
    one, two = first.level_bounds(LEVEL)[row], second.level_bounds(LEVEL)[row]
    if not (isinstance(one, Bounds) and isinstance(two, Bounds)):
        return None
    bounds = difference(one, two, _correlation(first, second, row, replicates))
    if bounds.high - bounds.low <= ROUNDING:  # no image distinguishes the networks, but others may
        bounds = difference(one, two, 1 - 1 / float(np.sum(first.images)))
    return max(bounds.low, -widest), min(bounds.high, widest)


def _correlation(
    first: Statistic, second: Statistic, row: int, replicates: tuple[Floats, Floats] | None
) -> float:
    """Return the correlation of two networks' numbers for new images, at least 0."""
    if replicates is None:
        if first.influence is None or second.influence is None:
            return 0.0
        replicates = first.image_influence, second.image_influence
    one, two = replicates[0][:, row], replicates[1][:, row]
    known = np.isfinite(one) & np.isfinite(two)
    one, two = one[known] - one[known].mean(), two[known] - two[known].mean()
    scale = math.sqrt(float(one @ one) * float(two @ two)) if len(one) else 0.0
    return min(max(float(one @ two) / scale, 0.0), 1.0) if scale > 0 else 0.0
