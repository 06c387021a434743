"""Means, standard deviations and differences over training seeds."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import Floats, basic_interval
from sdd_eval.statistics.hypothesis_tests import Verdict, holm_bonferroni, verdict
from sdd_eval.statistics.intervals import LEVEL, Interval, normal_quantile, student_quantile

#: Seeds per side required for a statement about a method rather than a network.
MIN_SEEDS = 3


@dataclass(frozen=True)
class SeedSummary:
    """Mean, sample standard deviation (NaN for a single value) and number of seeds."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Difference:
    """Second mean minus first mean, with Welch's interval at `level` and two-sided p-value.

    The bounds and p are NaN if a side has fewer than two values, or neither side varies. `adjusted`
    is the p-value after Holm–Bonferroni adjustment over `family` tests; NaN before `adjust`.
    """

    value: float
    low: float
    high: float
    level: float
    p: float = math.nan
    adjusted: float = math.nan
    family: int = 0

    @property
    def verdict(self) -> Verdict:
        """The verdict from the adjusted p-value and the interval; empty without them."""
        return verdict(self.value, self.low, self.high, self.adjusted)

    @property
    def reversed(self) -> Difference:
        """The first mean minus the second."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


def summarize_seeds(values: Iterable[float]) -> SeedSummary:
    """Return mean, sample standard deviation (n − 1) and number of values.

    >>> summarize_seeds([1.0, 2.0, 3.0])
    SeedSummary(mean=2.0, std=1.0, n=3)
    """
    listed = values if isinstance(values, np.ndarray) else list(values)
    array = np.asarray(listed, dtype=np.float64)
    if not len(array):
        return SeedSummary(math.nan, math.nan, 0)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    if array.min() == array.max() and len(array) > 1:
        std = 0.0  # the mean of equal values may differ from them due to rounding
    return SeedSummary(float(array.mean()), std, len(array))


def difference(first: Iterable[float], second: Iterable[float], level: float = LEVEL) -> Difference:
    """Return mean of `second` minus mean of `first`, with Welch's t interval and test.

    If neither side varies, there is no interval: it would have width 0, and a few equal values,
    such as those from a small test set, do not make a difference certain.

    Source: Welch (1947), "The generalization of 'Student's' problem when several different
    population variances are involved".

    >>> change = difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    >>> change.value, round(change.low, 3), round(change.high, 3), round(change.p, 4)
    (3.0, 0.733, 5.267, 0.0213)
    """
    a, b = summarize_seeds(first), summarize_seeds(second)
    value = b.mean - a.mean
    error, freedom = welch(a, b)
    if error == 0:
        return Difference(value, math.nan, math.nan, level)
    from scipy.special import stdtr  # imported here because scipy takes a second to load

    half = student_quantile(level, freedom) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return Difference(value, value - half, value + half, level, p)


def adjust(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with p-values adjusted over all that have one (Holm–Bonferroni).

    >>> changes = [difference([1, 2, 3], [4, 5, 6]), difference([1], [2])]
    >>> [(round(one.adjusted, 4), one.verdict) for one in adjust(changes)]
    [(0.0213, 'higher'), (nan, '')]
    """
    tested = [one.p for one in differences if not math.isnan(one.p)]
    adjusted = iter(holm_bonferroni(tested).tolist())
    return [
        one if math.isnan(one.p) else replace(one, adjusted=next(adjusted), family=len(tested))
        for one in differences
    ]


def minimum_detectable_difference(
    first: Iterable[float], second: Iterable[float], *, power: float = 0.8, level: float = LEVEL
) -> float:
    """Return the true difference that Welch's test at 1 − `level` detects with the given power.

    This is δ = s · λ with s² = s₁²/n₁ + s₂²/n₂, where λ is such that a noncentral t variable with
    Welch's degrees of freedom ν and noncentrality λ exceeds the critical value t(ν) with
    probability `power`; significance in the wrong direction, whose probability there is below 1e-5,
    is neglected. The observed standard deviations are taken as the true ones. The result is NaN if
    a side has fewer than two values, or neither side varies.

    Source: Cohen (1988), "Statistical power analysis for the behavioral sciences", section 2.5,
    with Welch's standard error and degrees of freedom.

    >>> round(minimum_detectable_difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), 3)
    3.071
    """
    return _detectable(summarize_seeds(first), summarize_seeds(second), power, level)


def _detectable(a: SeedSummary, b: SeedSummary, power: float, level: float) -> float:
    error, freedom = welch(a, b)
    if error == 0:
        return math.nan
    from scipy.special import nctdtrinc

    critical = student_quantile(level, freedom)
    return float(error * nctdtrinc(freedom, 1 - power, critical))


def required_seeds(
    first: Iterable[float],
    second: Iterable[float],
    change: float,
    *,
    power: float = 0.8,
    level: float = LEVEL,
) -> int | None:
    """Return the smallest number of seeds per side with which a true difference is detected.

    As in `minimum_detectable_difference`, with equally many seeds on both sides and their observed
    standard deviations; with three seeds, the power is closer to .7 than .8. Return None if neither
    side varies, a side has fewer than two values, the difference is 0, or more than a million seeds
    are needed.

    >>> required_seeds([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], 3.1)
    3
    >>> required_seeds([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], 1.0)
    17
    """
    a, b = summarize_seeds(first), summarize_seeds(second)

    def too_few(seeds: int) -> bool:
        return not _detectable(replace(a, n=seeds), replace(b, n=seeds), power, level) <= abs(
            change
        )

    most = 1_000_000
    if change == 0 or math.isnan(_detectable(a, b, power, level)) or too_few(most):
        return None
    return bisect.bisect_left(range(2, most), True, key=lambda n: not too_few(n)) + 2


def welch(a: SeedSummary, b: SeedSummary) -> tuple[float, float]:
    """Return the standard error of a difference of means and Welch's degrees of freedom.

    The error is 0 if a side has fewer than two values, or neither side varies.

    >>> [round(x, 3) for x in welch(SeedSummary(0.0, 1.0, 3), SeedSummary(0.0, 2.0, 3))]
    [1.291, 2.941]
    """
    if min(a.n, b.n) < 2:
        return 0.0, math.nan
    parts = np.array([a.std**2 / a.n, b.std**2 / b.n])
    error = math.sqrt(parts.sum())
    if error == 0:
        return 0.0, math.nan
    return error, float(parts.sum() ** 2 / (parts**2 / np.array([a.n - 1, b.n - 1])).sum())


def prediction_interval(
    summary: SeedSummary, further: int, level: float = LEVEL
) -> tuple[float, float]:
    """Return the prediction interval for the mean of `further` values from the same distribution.

    For a normal sample: mean ± t · std · √(1/n + 1/further); NaN for n < 2.

    >>> low, high = prediction_interval(SeedSummary(1.0, 0.1, 3), 3)
    >>> round(low, 4), round(high, 4)
    (0.6487, 1.3513)
    """
    if summary.n < 2:
        return math.nan, math.nan
    error = summary.std * math.sqrt(1 / summary.n + 1 / further)
    half = student_quantile(level, summary.n - 1) * error
    return summary.mean - half, summary.mean + half


def seeds_and_images(
    first: ArrayLike,
    first_replicates: ArrayLike,
    second: ArrayLike,
    second_replicates: ArrayLike,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return an interval for the difference of means under new seeds and new images.

    A replicate changes the difference by its change in a resample of the images plus its change in
    a resample of the seeds, with two corrections. The contribution of the seeds is too small with s
    seeds, so it is multiplied by √(s / (s − 1)) and by the ratio of the quantiles of Student's t
    distribution (with Welch's degrees of freedom) and the normal distribution. The variation over
    seeds already contains each network's individual variation over images, so the contribution of
    the images is reduced to the variance shared by the networks of a side.

    A side consists of the number of each network (s,), and replicates (resamples, s) on the same
    resamples of the same images. Raise InputError if a side has fewer than two seeds, or if the
    shapes of the replicates do not match.

    >>> zeros = np.zeros((100, 2))
    >>> interval = seeds_and_images([0.5, 0.5], zeros + 0.5, [0.75, 0.75], zeros + 0.75)
    >>> interval.low, interval.high
    (0.25, 0.25)
    """
    a, b = (np.asarray(side, dtype=np.float64) for side in (first, second))
    a_replicates, b_replicates = (
        np.asarray(side, dtype=np.float64) for side in (first_replicates, second_replicates)
    )
    _check_sides(a, a_replicates, b, b_replicates)
    estimate = float(b.mean() - a.mean())
    count = len(a_replicates)
    generator = np.random.default_rng(seed)
    seed_part = _seed_changes(b, count, generator) - _seed_changes(a, count, generator)
    image_part = b_replicates.mean(axis=1) - a_replicates.mean(axis=1) - estimate
    shared, stretch = _shared_scale(a_replicates, b_replicates), _t_stretch(a, b, level)
    replicates = estimate + shared * image_part + stretch * seed_part
    interval = basic_interval(estimate, replicates, level=level)
    method = f"basic bootstrap, {count:,} resamples of the seeds and of the images"
    return Interval(interval.low, interval.high, level, method)


def _check_sides(a: Floats, a_replicates: Floats, b: Floats, b_replicates: Floats) -> None:
    """Raise `InputError` unless both sides have seeds and their replicates."""
    if min(len(a), len(b)) < 2:
        raise InputError(f"{len(a)} and {len(b)} seeds; at least 2 per side are needed")
    same_count = len(a_replicates) == len(b_replicates)
    if a_replicates.shape[1:] != a.shape or b_replicates.shape[1:] != b.shape or not same_count:
        raise InputError(
            f"replicates of shapes {a_replicates.shape} and {b_replicates.shape} do not match "
            f"{len(a)} and {len(b)} seeds"
        )


def _seed_changes(values: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """Return the change in the mean in resamples of the values, with the variance of a mean."""
    n = len(values)
    means = values[generator.integers(n, size=(resamples, n))].mean(axis=1)
    changes: Floats = (means - values.mean()) * math.sqrt(n / (n - 1))
    return changes


def _shared_scale(a_replicates: Floats, b_replicates: Floats) -> float:
    """Return the factor that reduces the images' contribution to the part shared by a side."""
    variance = float((b_replicates.mean(axis=1) - a_replicates.mean(axis=1)).var())
    individual = sum(
        (side.var(axis=0).mean() - side.mean(axis=1).var()) / (side.shape[1] - 1)
        for side in (a_replicates, b_replicates)
    )
    return math.sqrt(max(0.0, 1 - individual / variance)) if variance > 0 else 0.0


def _t_stretch(a: Floats, b: Floats, level: float) -> float:
    """Return the ratio of the widths of a t interval and a normal interval."""
    error, freedom = welch(summarize_seeds(a), summarize_seeds(b))
    return student_quantile(level, freedom) / normal_quantile(level) if error else 1.0
