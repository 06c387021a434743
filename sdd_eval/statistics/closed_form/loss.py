"""Intervals of means: of losses, and of values within a known range."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sdd_eval.statistics.closed_form.share import Bounds, normal_quantile
from sdd_eval.statistics.intervals import LEVEL


def mean_loss(losses: NDArray[np.float64], pseudo_loss: float, level: float = LEVEL) -> Bounds:
    """Return the mean of non-negative losses with its score interval.

    The variance is taken proportional to the mean (quasi-Poisson; McCullagh and Nelder 1989), as it
    is where few images carry most of the loss. One pseudo error enters the dispersion.

    Args:
        losses: of each image (n,).
        pseudo_loss: loss of an error: the mean over images of the loss if the label had been the
            runner-up.
        level: of confidence.

    >>> [round(end, 3) for end in mean_loss(np.full(100, 0.1), pseudo_loss=2.0)[:3]]
    [0.1, 0.07, 0.143]
    """
    x = np.asarray(losses, dtype=np.float64)
    mean, n = float(x.mean()), len(x)
    spread = float(((x - mean) ** 2).sum()) + pseudo_loss**2
    dispersion = spread / (float(x.sum()) + pseudo_loss)
    k = normal_quantile(level) ** 2 * dispersion / n
    half = math.sqrt(mean * k + k * k / 4)
    return Bounds(mean, max(0.0, mean + k / 2 - half), mean + k / 2 + half)


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
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * math.sqrt(variance / n) if n > 1 else math.inf
    return Bounds(mean, max(lowest, mean - half), min(highest, mean + half))
