"""Means, spreads and differences over seeds, and the curve behind an AUROC. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (NaN for one value) and count of values over seeds."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Difference:
    """Second mean minus first, with Welch's interval at `level`; NaN bounds where n < 2."""

    value: float
    low: float
    high: float
    level: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is no interval."""
        return self.low > 0 or self.high < 0


def spread(values: Iterable[float]) -> Spread:
    """Mean, sample standard deviation (n - 1) and count.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, n=3)
    """
    array = np.asarray(list(values), dtype=np.float64)
    if not len(array):
        return Spread(math.nan, math.nan, 0)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    if array.min() == array.max() and len(array) > 1:
        std = 0.0  # the mean of equal values may differ from them by rounding
    return Spread(float(array.mean()), std, len(array))


def difference(first: Iterable[float], second: Iterable[float], level: float = 0.95) -> Difference:
    """Mean of `second` minus mean of `first`, with Welch's t interval (Welch 1947).

    Two sides without any spread have the interval of zero width that the formula gives.
    """
    a, b = spread(first), spread(second)
    value = b.mean - a.mean
    if min(a.n, b.n) < 2:
        return Difference(value, math.nan, math.nan, level)
    parts = np.array([a.std**2 / a.n, b.std**2 / b.n])
    if parts.sum() == 0:
        return Difference(value, value, value, level)
    freedom = parts.sum() ** 2 / (parts**2 / np.array([a.n - 1, b.n - 1])).sum()
    half = _t_quantile(0.5 + level / 2, float(freedom)) * math.sqrt(parts.sum())
    return Difference(value, value - half, value + half, level)


def _t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy costs a second that a table does not need

    return float(stdtrit(freedom, probability))


def roc(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1).

    Higher scores are more in-distribution, in-distribution is positive, and equal scores fall
    together: the area below is the AUROC in which ties count half.
    """
    inside = np.sort(np.asarray(in_scores, dtype=np.float64))
    outside = np.sort(np.asarray(out_scores, dtype=np.float64))
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    return _share_at_least(outside, thresholds), _share_at_least(inside, thresholds)


def _share_at_least(ordered: Floats, thresholds: Floats) -> Floats:
    """The share of values that reach each threshold, after a leading zero."""
    reached: NDArray[Any] = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
    return np.concatenate([[0.0], reached / len(ordered)])


def at_rates(false_positive: Floats, true_positive: Floats, rates: Floats) -> Floats:
    """The true positive rate of a ROC curve at given false positive rates, for averaging curves.

    On a vertical stretch it is the upper end (`np.interp` takes the last of equal knots).
    """
    heights: Floats = np.interp(rates, false_positive, true_positive)
    return heights
