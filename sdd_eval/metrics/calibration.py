"""Expected calibration error with equal-width bins, and the bins behind it.

Source: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
binning", in the form of Guo et al. (2017), "On calibration of modern neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Numbers, numbers

# A confidence within 1e-7 of an edge lies in the lower bin. Half a step of float32 (below 1.0) is
# added, so that a confidence which float32 has rounded away from there is still in the same bin.
EDGE_TOLERANCE = 1e-7 + 2.0**-25


@dataclass(frozen=True)
class ReliabilityBins:
    """What each of M bins holds: arrays (M,); confidence and accuracy are NaN in empty bins."""

    count: NDArray[np.int64]
    confidence: Numbers
    accuracy: Numbers


def ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Expected calibration error, a fraction: Σ count/n · |accuracy − mean confidence|.

    `confidence` and `correct` are arrays or tensors (n,): the largest softmax probability and
    whether the prediction is right. Bins are (0, 1/M], …, (1 − 1/M, 1], as in `reliability_bins`.

    Raises:
        InputError: see `reliability_bins`.

    >>> ece([1.0, 1.0], [False, False])
    1.0
    >>> round(ece([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0]), 4)  # (.1 + |1.55 − 1| + .3) / 4
    0.2375
    """
    count, confidences, rights = _sums(confidence, correct, bins)
    return float(np.abs(rights - confidences).sum() / count.sum())


def reliability_bins(confidence: Any, correct: Any, bins: int = 10) -> ReliabilityBins:
    """Count, mean confidence and accuracy of each of `bins` equal-width bins.

    A confidence of 0 lies in the first bin and one of 1.0 in the last; one within 1e-7 of an edge
    lies in the lower bin, in float32 and float64 alike.

    Raises:
        InputError: fewer than one bin, arrays of different lengths, no values, NaN, a confidence
            outside [0, 1], or a `correct` that is neither 0 nor 1.

    >>> reliability_bins([0.2, 0.4, 1.0], [0, 1, 1], bins=2).count
    array([2, 1])
    """
    count, confidences, rights = _sums(confidence, correct, bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(count, confidences / count, rights / count)


def bin_index(confidence: Numbers, bins: int) -> NDArray[np.int64]:
    """The bin, from 0, of each confidence (n,).

    >>> bin_index(np.array([0.0, 0.1, 0.10001, 1.0]), 10)
    array([0, 0, 1, 9])
    """
    inner_edges = np.arange(1, bins) / bins
    return np.searchsorted(inner_edges + EDGE_TOLERANCE, confidence, side="left")


def confidences_and_flags(confidence: Any, correct: Any) -> tuple[Numbers, Numbers]:
    """Confidences (n,) in [0, 1] and what is right (n,) as 0 or 1, both float64.

    Raises:
        InputError: arrays of different lengths, no values, NaN, a confidence outside [0, 1], or a
            `correct` that is neither 0 nor 1.

    >>> confidences_and_flags([0.5], [True])
    (array([0.5]), array([1.]))
    """
    sure, right = numbers(confidence, "confidences"), numbers(correct, "correct flags")
    if len(sure) != len(right):
        raise InputError(f"there are {len(sure)} confidences and {len(right)} correct flags")
    outside = (sure < 0) | (sure > 1 + EDGE_TOLERANCE)
    if outside.any():
        raise InputError(f"confidence {sure[outside][0]:g} is outside [0, 1]")
    if ((right != 0) & (right != 1)).any():
        raise InputError("correct flags are 0 or 1 (False or True), and some are neither")
    return np.minimum(sure, 1), right


def at_least_one(bins: int) -> int:
    """The number of bins.

    Raises:
        InputError: it is below 1.

    >>> at_least_one(10)
    10
    """
    if bins < 1:
        raise InputError(f"bins is {bins}; at least 1 is needed")
    return bins


def _sums(confidence: Any, correct: Any, bins: int) -> tuple[NDArray[np.int64], Numbers, Numbers]:
    """Per bin: how many images, the sum of their confidences, and how many are right."""
    at_least_one(bins)
    sure, right = confidences_and_flags(confidence, correct)
    index = bin_index(sure, bins)
    count: NDArray[np.int64] = np.bincount(index, minlength=bins)
    per_bin = [np.bincount(index, weights, minlength=bins) for weights in (sure, right)]
    confidences, rights = np.asarray(per_bin, dtype=np.float64)
    return count, confidences, rights
