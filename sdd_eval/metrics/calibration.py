"""Expected calibration error with equal-width bins, and the bins behind it.

Source: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
binning", in the form of Guo et al. (2017), "On calibration of modern neural networks".
"""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True)
class BinSums:
    """What M bins hold, arrays (…, M): images, the sum of their confidences, how many are right.

    Images may count with weights; leading axes are of several weightings.
    """

    count: Numbers
    confidence: Numbers
    right: Numbers

    @property
    def share(self) -> Numbers:
        """Of each bin, its share of all images."""
        return np.asarray(self.count / self.count.sum(axis=-1, keepdims=True))

    def mean(self, sums: Numbers) -> Numbers:
        """Sums per image of their bin; 0 in an empty one."""
        return np.divide(sums, self.count, out=np.zeros(sums.shape), where=self.count > 0)

    @property
    def gap(self) -> Numbers:
        """Accuracy less mean confidence of each bin; 0 in an empty one."""
        return self.mean(self.right - self.confidence)


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
    return float(expected_gap(bin_sums(confidence, correct, bins)))


def expected_gap(sums: BinSums) -> Numbers:
    """ECE (…) of bins: Σ |right − confidence| over all images.

    >>> float(expected_gap(bin_sums([1.0, 1.0], [False, True])))
    0.5
    """
    total = sums.count.sum(axis=-1)
    return np.asarray(np.abs(sums.right - sums.confidence).sum(axis=-1) / total)


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
    sums = bin_sums(confidence, correct, bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            sums.count.astype(np.int64), sums.confidence / sums.count, sums.right / sums.count
        )


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


def bin_sums(confidence: Any, correct: Any, bins: int = 10) -> BinSums:
    """What each of `bins` equal-width bins holds (M,).

    Raises:
        InputError: see `reliability_bins`.

    >>> bin_sums([0.2, 0.4, 1.0], [0, 1, 1], bins=2).right
    array([1., 1.])
    """
    index, values = _binned(confidence, correct, bins)
    count, sure, right = (np.bincount(index, column, minlength=bins) for column in values.T)
    return BinSums(*(np.asarray(each, dtype=np.float64) for each in (count, sure, right)))


def weighted_bin_sums(confidence: Any, correct: Any, bins: int = 10) -> Callable[[Any], BinSums]:
    """From weights (k, n) of the images to what bins hold (k, M), as if each were there so often.

    Raises:
        InputError: see `reliability_bins`.

    >>> weighted_bin_sums([0.2, 0.4, 1.0], [0, 1, 1], bins=2)(np.array([[0, 3, 1]])).right
    array([[3., 1.]])
    """
    index, values = _binned(confidence, correct, bins)
    columns = np.zeros((len(index), bins, 3))
    columns[np.arange(len(index)), index] = values
    flat = columns.reshape(len(index), -1)

    def sums(weights: Any) -> BinSums:
        found = (weights @ flat).reshape(-1, bins, 3)
        return BinSums(found[..., 0], found[..., 1], found[..., 2])

    return sums


def _binned(confidence: Any, correct: Any, bins: int) -> tuple[NDArray[np.int64], Numbers]:
    """Each image's bin (n,), and what it brings there (n, 3): itself, its confidence, rightness."""
    at_least_one(bins)
    sure, right = confidences_and_flags(confidence, correct)
    return bin_index(sure, bins), np.stack([np.ones(len(sure)), sure, right], axis=1)


def maximum_calibration_error(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Maximum calibration error, a fraction: max over bins of |accuracy − mean confidence|.

    Arguments and bins are those of `calibration.ece`; empty bins do not count. A bin of one image
    counts like any other, so the number is noisy where bins are small. It has no interval:
    in simulations a bootstrap's of 95 % held the truth in 46 to 70 % of samples.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(maximum_calibration_error([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0]), 4)  # .3, .275, .1
    0.3
    """
    return float(largest_gap(bin_sums(confidence, correct, bins)))


def largest_gap(sums: BinSums) -> Numbers:
    """Maximum calibration error (…) of bins.

    >>> float(largest_gap(bin_sums([1.0, 0.5, 0.5], [1, 1, 1])))
    0.5
    """
    return np.asarray(np.abs(sums.gap).max(axis=-1))
