"""Means, spreads and differences over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import Floats, basic_interval
from sdd_eval.statistics.intervals import LEVEL, Interval


@dataclass(frozen=True)
class SeedSummary:
    """Mean, sample standard deviation (NaN for one value) and count of values over seeds."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Difference:
    """Second mean minus first, with Welch's interval at `level` and two-sided p-value.

    Where a side has fewer than two values, or neither any spread, bounds and p are NaN.
    """

    value: float
    low: float
    high: float
    level: float
    p: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is no interval."""
        return self.low > 0 or self.high < 0


def summarize_seeds(values: Iterable[float]) -> SeedSummary:
    """Mean, sample standard deviation (n - 1) and count.

    >>> summarize_seeds([1.0, 2.0, 3.0])
    SeedSummary(mean=2.0, std=1.0, n=3)
    """
    listed = values if isinstance(values, np.ndarray) else list(values)
    array = np.asarray(listed, dtype=np.float64)
    if not len(array):
        return SeedSummary(math.nan, math.nan, 0)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    if array.min() == array.max() and len(array) > 1:
        std = 0.0  # the mean of equal values may differ from them by rounding
    return SeedSummary(float(array.mean()), std, len(array))


def difference(first: Iterable[float], second: Iterable[float], level: float = 0.95) -> Difference:
    """Mean of `second` minus mean of `first`, with Welch's t interval and test (Welch 1947).

    Two sides without any spread have no interval: the formula's would have no width, and a few
    equal values, as of a small test set, do not make a difference certain.

    >>> found = difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    >>> found.value, round(found.low, 3), round(found.high, 3), round(found.p, 4)
    (3.0, 0.733, 5.267, 0.0213)
    """
    a, b = summarize_seeds(first), summarize_seeds(second)
    value = b.mean - a.mean
    error, freedom = welch(a, b) if min(a.n, b.n) > 1 else (0.0, math.nan)
    if error == 0:
        return Difference(value, math.nan, math.nan, level)
    from scipy.special import stdtr  # scipy costs a second that a table does not need

    half = _t_quantile(0.5 + level / 2, freedom) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return Difference(value, value - half, value + half, level, p)


def minimum_detectable_difference(
    first: Iterable[float], second: Iterable[float], *, power: float = 0.8, level: float = 0.95
) -> float:
    """The true difference that Welch's test at 1 − `level` would have found with this power.

    δ = s · λ, s² = s₁²/n₁ + s₂²/n₂, with the λ for which a noncentral t of Welch's degrees of
    freedom ν and noncentrality λ exceeds the test's threshold t(ν) with probability `power`; the
    chance of a significant difference of the wrong sign, below 1e-5 there, is left out. Both sides'
    spreads are taken for the true ones. NaN where a side has fewer than two values, or neither any
    spread.

    Source: Cohen (1988), "Statistical power analysis for the behavioral sciences", section 2.5; its
    σ and n − 2 degrees replaced by Welch's.

    >>> round(minimum_detectable_difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), 3)
    3.071
    """
    a, b = summarize_seeds(first), summarize_seeds(second)
    error, freedom = welch(a, b) if min(a.n, b.n) > 1 else (0.0, math.nan)
    if error == 0:
        return math.nan
    from scipy.special import nctdtrinc

    threshold = _t_quantile(0.5 + level / 2, freedom)
    return float(error * nctdtrinc(freedom, 1 - power, threshold))


def welch(a: SeedSummary, b: SeedSummary) -> tuple[float, float]:
    """Standard error of a difference of means, and Welch's degrees of freedom (NaN without any)."""
    parts = np.array([a.std**2 / a.n, b.std**2 / b.n])
    error = math.sqrt(parts.sum())
    if error == 0:
        return 0.0, math.nan
    return error, float(parts.sum() ** 2 / (parts**2 / np.array([a.n - 1, b.n - 1])).sum())


def prediction_interval(
    found: SeedSummary, further: int, level: float = 0.95
) -> tuple[float, float]:
    """Where the mean of so many further values would lie, if they scatter as those found do.

    The prediction interval of a normal sample: mean ± t · std · √(1/n + 1/further); NaN for n < 2.

    >>> low, high = prediction_interval(SeedSummary(1.0, 0.1, 3), 3)
    >>> round(low, 4), round(high, 4)
    (0.6487, 1.3513)
    """
    if found.n < 2:
        return math.nan, math.nan
    width = found.std * math.sqrt(1 / found.n + 1 / further)
    half = _t_quantile(0.5 + level / 2, found.n - 1) * width
    return found.mean - half, found.mean + half


def _t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy costs a second that a table does not need

    return float(stdtrit(freedom, probability))


#: How many seeds a side needs for a sentence about a method, and not about a network.
MIN_SEEDS = 3


def seeds_and_images(
    first: ArrayLike,
    first_replicates: ArrayLike,
    second: ArrayLike,
    second_replicates: ArrayLike,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The interval of mean of `second` minus mean of `first` under new seeds and new images.

    `first` (s,) and `second` (t,) are a number of each network of a side, and the replicates
    (resamples, s) and (resamples, t) the same numbers in the same resamples of the same images.
    To the change of the difference in a resample of the images is added that in one of the seeds.
    Two corrections keep both honest. Of s seeds a resample spreads too little: their part is
    stretched by √(s / (s − 1)), and by the quantile of Student's t (Welch's degrees of freedom)
    over the normal one. And the spread over seeds already holds what each network does on images
    of its own accord: the images' part is shrunk to the variance that the networks of a side share.

    Raises:
        InputError: a side has fewer than two seeds, or replicates of other shapes.

    >>> same = np.zeros((100, 2))
    >>> found = seeds_and_images([0.5, 0.5], same + 0.5, [0.75, 0.75], same + 0.75)
    >>> found.low, found.high
    (0.25, 0.25)
    """
    a, b = (np.asarray(side, dtype=np.float64) for side in (first, second))
    of_a, of_b = (np.asarray(r, dtype=np.float64) for r in (first_replicates, second_replicates))
    if min(len(a), len(b)) < 2:
        raise InputError(f"{len(a)} and {len(b)} seeds; at least 2 a side are needed")
    if of_a.shape[1:] != a.shape or of_b.shape[1:] != b.shape or len(of_a) != len(of_b):
        raise InputError(
            f"replicates of shapes {of_a.shape} and {of_b.shape} are not those of "
            f"{len(a)} and {len(b)} seeds"
        )
    estimate = float(b.mean() - a.mean())
    generator = np.random.default_rng(seed)
    of_seeds = _moved(b, len(of_b), generator) - _moved(a, len(of_a), generator)
    of_images = of_b.mean(axis=1) - of_a.mean(axis=1) - estimate
    changed = estimate + _shared(of_a, of_b) * of_images + _stretch(a, b, level) * of_seeds
    found = basic_interval(estimate, changed, level=level)
    how = f"basic bootstrap, {len(of_a):,} resamples of the seeds and of the images"
    return Interval(found.low, found.high, level, how)


def _moved(values: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """By how much the mean moves in each resample of the values, with the spread of a mean."""
    n = len(values)
    drawn = values[generator.integers(n, size=(resamples, n))].mean(axis=1)
    moved: Floats = (drawn - values.mean()) * math.sqrt(n / (n - 1))
    return moved


def _shared(of_a: Floats, of_b: Floats) -> float:
    """By what the images' part is shrunk: to that which all networks of a side have in common."""
    variance = float((of_b.mean(axis=1) - of_a.mean(axis=1)).var())
    own = sum(
        (side.var(axis=0).mean() - side.mean(axis=1).var()) / (side.shape[1] - 1)
        for side in (of_a, of_b)
    )
    return math.sqrt(max(0.0, 1 - own / variance)) if variance > 0 else 0.0


def _stretch(a: Floats, b: Floats, level: float) -> float:
    """How much wider a t interval is than a normal one."""
    from scipy.special import ndtri, stdtrit

    error, freedom = welch(summarize_seeds(a), summarize_seeds(b))
    return float(stdtrit(freedom, 0.5 + level / 2) / ndtri(0.5 + level / 2)) if error else 1.0
