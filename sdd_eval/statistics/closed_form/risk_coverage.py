"""Intervals of the areas under the risk–coverage curves, AURC and AUGRC."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sdd_eval.statistics.closed_form.share import Bounds, wilson
from sdd_eval.statistics.intervals import LEVEL

Floats = NDArray[np.float64]


def aurc(confidence: Floats, correct: Floats, level: float = LEVEL) -> Bounds:
    """Return the area under the risk–coverage curve (Geifman et al. 2019) with its interval.

    Variance by the influence function, plus one pseudo error among the most confident 1/√n images,
    which adds ½ ln n; then Wilson's interval with the effective number of images.

    Args:
        confidence: of each image (n,), ties allowed.
        correct: 1 for a correct prediction, 0 for a wrong one (n,).
        level: of confidence.

    >>> [round(end, 3) for end in aurc(np.arange(200.0), np.ones(200))[:3]]
    [0.0, 0.0, 0.049]
    """
    ranked = _Ranked(confidence, correct)
    n, k = ranked.n, ranked.k
    risk = ranked.cumulated / k
    value = float(risk.mean())
    influence = (
        ranked.tied(risk)
        + ranked.errors * ranked.tied(_from_here(1 / k))
        - ranked.tied(_from_here(risk / k))
    )
    pseudo = math.log(n) / 2
    return _area(value, influence, pseudo, pseudo**2, 1.0, n, level)


def augrc(confidence: Floats, correct: Floats, level: float = LEVEL) -> Bounds:
    """Return the area under the generalised risk–coverage curve (Traub et al. 2024).

    As `aurc`, with a pseudo error of chance rank. The value lies in [0, ½].

    >>> [round(end, 4) for end in augrc(np.arange(200.0), np.ones(200))[:3]]
    [0.0, 0.0, 0.0125]
    """
    ranked = _Ranked(confidence, correct)
    n, k, total = ranked.n, ranked.k, ranked.cumulated
    value = float(2 * total.sum() - total[-1]) / (2 * n * n)
    influence = ranked.tied(total / n) + ranked.errors * ranked.tied((n - k + 0.5) / n)
    return _area(value, influence, 0.5, 1 / 3, 0.5, n, level)


class _Ranked:
    """Images from the most to the least confident; errors of ties are their mean."""

    def __init__(self, confidence: Floats, correct: Floats) -> None:
        order = np.argsort(-np.asarray(confidence), kind="stable")
        ranked = np.asarray(confidence)[order]
        self.n = len(ranked)
        self.k = np.arange(1, self.n + 1)
        self._group = np.cumsum(np.append(0, ranked[1:] != ranked[:-1]))
        self._count = np.bincount(self._group)
        self.errors = 1.0 - np.asarray(correct, dtype=np.float64)[order]
        self.cumulated = np.cumsum(self.tied(self.errors))

    def tied(self, values: Floats) -> Floats:
        """Return the mean of the values over images of equal confidence, for each image."""
        means: Floats = (np.bincount(self._group, values) / self._count)[self._group]
        return means


def _from_here(values: Floats) -> Floats:
    """Return the sum of the values from each position to the end."""
    return np.cumsum(values[::-1])[::-1]


def _area(
    value: float,
    influence: Floats,
    pseudo: float,
    pseudo_square: float,
    largest: float,
    n: int,
    level: float,
) -> Bounds:
    """Return the interval of an area in [0, largest] from its influence function."""
    variance = float(((influence - influence.mean()) ** 2).sum() + pseudo_square) / n**2
    smoothed = (value + pseudo / n) / largest
    low, high = wilson(value / largest, smoothed * (1 - smoothed) * largest**2 / variance, level)
    return Bounds(value, float(low) * largest, float(high) * largest)
