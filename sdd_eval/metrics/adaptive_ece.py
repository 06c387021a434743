"""Calibration error over bins of equal numbers of images instead of equal widths.

Source: Nguyen, O'Connor (2015), "Posterior calibration and exploratory analysis for natural
language processing models"; called adaptive by Nixon et al. (2019), "Measuring calibration in deep
learning", whose own variant is over classes as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Numbers
from sdd_eval.metrics.calibration import at_least_one, confidences_and_flags


def adaptive_ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Expected calibration error with equal-mass bins, a fraction.

    `confidence` and `correct` are arrays or tensors (n,), as in `calibration.ece`. Images are
    ranked by confidence and cut into `bins` runs whose sizes differ by at most one, the larger
    first. Where a cut falls among equal confidences, each of these counts as the mean of them, so
    that the order of the images decides nothing.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(adaptive_ece([0.9, 0.8, 0.6, 0.5], [1, 1, 0, 1], bins=2), 4)  # (.05 + .15) / 2
    0.1
    >>> adaptive_ece([1.0, 1.0], [False, True], bins=2)
    0.5
    """
    at_least_one(bins)
    sure, right = confidences_and_flags(confidence, correct)
    order = np.argsort(sure, kind="stable")
    ranked, rights = sure[order], shared_among_ties(sure[order], right[order])
    gaps = np.concatenate([[0.0], np.cumsum(rights - ranked)])
    cuts = np.cumsum([0, *sizes_of(len(sure), bins)])
    return float(np.abs(np.diff(gaps[cuts])).sum() / len(sure))


def sizes_of(images: int, bins: int) -> list[int]:
    """How many images each bin has: sizes that differ by at most one, the larger first.

    >>> sizes_of(8, 3)
    [3, 3, 2]
    """
    size, larger = divmod(images, bins)
    return [size + (index < larger) for index in range(bins)]


def shared_among_ties(ranked: Numbers, values: Numbers) -> Numbers:
    """Values (n,) of which those with equal keys, `ranked` (n,), are replaced by their mean.

    >>> shared_among_ties(np.array([0.1, 0.5, 0.5]), np.array([1.0, 0.0, 1.0]))
    array([1. , 0.5, 0.5])
    """
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    sizes = np.diff(np.append(first, len(ranked)))
    means: Numbers = np.add.reduceat(values, first) / sizes
    return np.repeat(means, sizes)
