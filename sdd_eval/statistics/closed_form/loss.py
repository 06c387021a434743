"""Intervals of means: losses, values within a range, and errors relative to a baseline's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sdd_eval.statistics.closed_form.share import Bounds
from sdd_eval.statistics.intervals import LEVEL, normal_quantile, student_quantile


def mean_loss(losses: NDArray[np.float64], pseudo_loss: float, level: float = LEVEL) -> Bounds:
    """Return the mean of non-negative losses with its score interval.

    The variance is taken proportional to the mean (quasi-Poisson; McCullagh and Nelder 1989), as it
    is where few images carry most of the loss. One pseudo error enters the dispersion.

    `losses` are of each image (n,), `pseudo_loss` is that of an error: the mean over images of the
    loss if the label had been the runner-up.

    >>> [round(end, 3) for end in mean_loss(np.full(100, 0.1), pseudo_loss=2.0)[:3]]
    [0.1, 0.07, 0.143]
    """
    x = np.asarray(losses, dtype=np.float64)
    return score_bounds(float(x.mean()), x - x.mean(), pseudo_loss, level)


def score_bounds(
    value: float, influence: NDArray[np.float64], pseudo: float, level: float = LEVEL
) -> Bounds:
    """Return a number that is 0 without errors, with its score interval.

    To second order it is the interval of the delta method on the logarithm, but it is also defined
    at 0. `influence` is that of each image on it (n,), with mean 0; `pseudo` that of an error.
    """
    n = len(influence)
    spread = float((influence**2).sum()) + pseudo**2
    k = normal_quantile(level) ** 2 * spread / (n * value + pseudo) / n
    half = math.sqrt(value * k + k * k / 4)
    return Bounds(value, max(0.0, value + k / 2 - half), value + k / 2 + half)


def ratio_bounds(
    value: float,
    influence: NDArray[np.float64],
    denominator: NDArray[np.float64],
    pseudo: float,
    level: float = LEVEL,
) -> Bounds | None:
    """Return a ratio of means with Fieller's interval, or None if that is unbounded.

    Fieller (1954), "Some problems in interval estimation": it contains the ratios ρ for which
    numerator − ρ · denominator does not differ significantly from 0. It is unbounded if the
    denominator does not differ significantly from 0.

    `influence` is that of each image on the value (n,), with mean 0; `denominator` that on the
    denominator, relative to it, of a mean of ratios the mean; `pseudo` that of an error.

    >>> x, y = np.array([1.0, -1.0] * 50), np.array([1.0, 1.0, -1.0, -1.0] * 25)
    >>> [round(end, 2) for end in ratio_bounds(1.0, x, y, pseudo=1.0)[:3]]
    [1.0, 0.8, 1.2]
    >>> ratio_bounds(1.0, x, 10 * y, pseudo=1.0) is None
    True
    """
    n, square = len(influence), normal_quantile(level) ** 2
    spread = (float((influence**2).sum()) + pseudo**2) / n**2
    linear = -square * float((influence * denominator).sum()) / n**2
    leading = 1 - square * float((denominator**2).sum()) / n**2
    if leading <= 0:
        return None
    root = math.sqrt(linear**2 + leading * square * spread)
    return Bounds(value, value + (linear - root) / leading, value + (linear + root) / leading)


def bounded_mean(
    values: NDArray[np.float64], lowest: float, highest: float, level: float = LEVEL
) -> Bounds:
    """Return the mean of values in a known range, with Student's interval within that range.

    One pseudo value at each end of the range enters the variance, so that equal values have an
    interval of positive width.

    >>> [round(end, 4) for end in bounded_mean(np.full(100, 0.95), 0.9, 1.0)[:3]]
    [0.95, 0.9486, 0.9514]
    """
    x = np.asarray(values, dtype=np.float64)
    mean, n = float(x.mean()), len(x)
    pseudo = (mean - lowest) ** 2 + (highest - mean) ** 2
    variance = (float(((x - mean) ** 2).sum()) + pseudo) / (n + 1)
    half = student_quantile(level, n - 1) * math.sqrt(variance / n) if n > 1 else math.inf
    return Bounds(mean, max(lowest, mean - half), min(highest, mean + half))
