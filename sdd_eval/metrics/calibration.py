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
from sdd_eval.metrics.arrays import Floats, class_indices, float64_blocks, float_array, logit_matrix

# A confidence within 1e-7 of an edge lies in the lower bin. Half a step of float32 (below 1.0) is
# added, so that a confidence which float32 has rounded away from there is still in the same bin.
EDGE_TOLERANCE = 1e-7 + 2.0**-25


@dataclass(frozen=True)
class ReliabilityBins:
    """What each of M bins holds: arrays (M,); confidence and accuracy are NaN in empty bins."""

    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


@dataclass(frozen=True)
class BinSums:
    """What M bins hold, arrays (…, M): images, the sum of their confidences, how many are right.

    Images may count with weights; leading axes are of several weightings.
    """

    count: Floats
    confidence: Floats
    right: Floats

    @property
    def share(self) -> Floats:
        """Of each bin, its share of all images."""
        return np.asarray(self.count / self.count.sum(axis=-1, keepdims=True))

    def mean(self, sums: Floats) -> Floats:
        """Sums per image of their bin; 0 in an empty one."""
        return np.divide(sums, self.count, out=np.zeros(sums.shape), where=self.count > 0)

    @property
    def gap(self) -> Floats:
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
    return float(ece_of_bins(bin_sums(confidence, correct, bins)))


def ece_of_bins(sums: BinSums) -> Floats:
    """ECE (…) of bins: Σ |right − confidence| over all images.

    >>> float(ece_of_bins(bin_sums([1.0, 1.0], [False, True])))
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


def bin_index(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin, from 0, of each confidence (n,).

    >>> bin_index(np.array([0.0, 0.1, 0.10001, 1.0]), 10)
    array([0, 0, 1, 9])
    """
    inner_edges = np.arange(1, bins) / bins
    return np.searchsorted(inner_edges + EDGE_TOLERANCE, confidence, side="left")


def check_confidences(confidence: Any, correct: Any) -> tuple[Floats, Floats]:
    """Confidences (n,) in [0, 1] and what is right (n,) as 0 or 1, both float64.

    Raises:
        InputError: arrays of different lengths, no values, NaN, a confidence outside [0, 1], or a
            `correct` that is neither 0 nor 1.

    >>> check_confidences([0.5], [True])
    (array([0.5]), array([1.]))
    """
    sure, right = float_array(confidence, "confidences"), float_array(correct, "correct flags")
    if len(sure) != len(right):
        raise InputError(f"there are {len(sure)} confidences and {len(right)} correct flags")
    outside = (sure < 0) | (sure > 1 + EDGE_TOLERANCE)
    if outside.any():
        raise InputError(f"confidence {sure[outside][0]:g} is outside [0, 1]")
    if ((right != 0) & (right != 1)).any():
        raise InputError("correct flags are 0 or 1 (False or True), and some are neither")
    return np.minimum(sure, 1), right


def check_bins(bins: int) -> int:
    """The number of bins.

    Raises:
        InputError: it is below 1.

    >>> check_bins(10)
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


def _binned(confidence: Any, correct: Any, bins: int) -> tuple[NDArray[np.int64], Floats]:
    """Each image's bin (n,), and what it brings there (n, 3): itself, its confidence, rightness."""
    check_bins(bins)
    sure, right = check_confidences(confidence, correct)
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
    return float(mce_of_bins(bin_sums(confidence, correct, bins)))


def mce_of_bins(sums: BinSums) -> Floats:
    """Maximum calibration error (…) of bins.

    >>> float(mce_of_bins(bin_sums([1.0, 0.5, 0.5], [1, 1, 1])))
    0.5
    """
    return np.asarray(np.abs(sums.gap).max(axis=-1))


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
    check_bins(bins)
    sure, right = check_confidences(confidence, correct)
    order = np.argsort(sure, kind="stable")
    ranked, rights = sure[order], tie_means(sure[order], right[order])
    gaps = np.concatenate([[0.0], np.cumsum(rights - ranked)])
    cuts = np.cumsum([0, *equal_mass_sizes(len(sure), bins)])
    return float(np.abs(np.diff(gaps[cuts])).sum() / len(sure))


def equal_mass_sizes(images: int, bins: int) -> list[int]:
    """How many images each bin has: sizes that differ by at most one, the larger first.

    >>> equal_mass_sizes(8, 3)
    [3, 3, 2]
    """
    size, larger = divmod(images, bins)
    return [size + (index < larger) for index in range(bins)]


def tie_means(ranked: Floats, values: Floats) -> Floats:
    """Values (n,) of which those with equal keys, `ranked` (n,), are replaced by their mean.

    >>> tie_means(np.array([0.1, 0.5, 0.5]), np.array([1.0, 0.0, 1.0]))
    array([1. , 0.5, 0.5])
    """
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    sizes = np.diff(np.append(first, len(ranked)))
    means: Floats = np.add.reduceat(values, first) / sizes
    return np.repeat(means, sizes)


def classwise_ece(logits: Any, labels: Any, bins: int = 10) -> float:
    """Classwise expected calibration error, a fraction: mean over classes of each class's ECE.

    A class's ECE is over all n images: the probability that the softmax gives the class, against
    whether the class is the label, in equal-width bins as in `calibration.ece`. Classes that no
    label names count like the others. `logits` are (n, classes), `labels` (n,).

    Raises:
        InputError: fewer than one bin, NaN or infinity among the logits, or labels that do not
            fit them.

    >>> classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 0])
    0.5
    """
    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    truth = class_indices(labels, images=images, classes=classes)
    gaps = np.zeros(classes * bins)
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
        place = np.arange(classes) * bins + bin_index(block, bins)
        own = truth[rows, None]
        labelled = np.take_along_axis(place, own, axis=1)[:, 0]
        gaps += np.bincount(place.ravel(), block.ravel(), minlength=len(gaps))
        gaps -= np.bincount(labelled, minlength=len(gaps))
    return float(np.abs(gaps).sum() / (images * classes))


def debiased_ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """`calibration.ece`, debiased: Σ count/n · (2 |gap| − E|gap + noise|), at least 0.

    Per bin, gap = accuracy − mean confidence, and the noise is normal with the variance
    accuracy (1 − accuracy) / count that the accuracy has. A bin all right or all wrong has none.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(debiased_ece([0.75] * 100, [1] * 80 + [0] * 20), 4)  # less than .05
    0.046
    """
    return float(debiased_ece_of_bins(bin_sums(confidence, correct, bins)))


def debiased_ece_of_bins(sums: BinSums) -> Floats:
    """`debiased_ece` (…) of bins.

    >>> round(float(debiased_ece_of_bins(bin_sums([0.75] * 100, [1] * 80 + [0] * 20))), 4)
    0.046
    """
    accuracy = sums.mean(sums.right)
    deviation = np.sqrt(sums.mean(accuracy * (1 - accuracy)))
    corrected = 2 * np.abs(sums.gap) - _folded_normal_mean(sums.gap, deviation)
    return np.asarray(np.maximum(0, (sums.share * corrected).sum(axis=-1)))


def debiased_l2_calibration_error(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Root of Σ count/n · (gap² − accuracy (1 − accuracy) / (count − 1)), at least 0.

    The sum before the root is an unbiased estimate of the squared error of the binned model. A bin
    of one image says nothing of its variance and contributes 0.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(debiased_l2_calibration_error([0.75] * 100, [1] * 80 + [0] * 20), 4)
    0.0297
    """
    return float(debiased_l2_of_bins(bin_sums(confidence, correct, bins)))


def debiased_l2_of_bins(sums: BinSums) -> Floats:
    """`debiased_l2_calibration_error` (…) of bins.

    >>> round(float(debiased_l2_of_bins(bin_sums([0.75] * 100, [1] * 80 + [0] * 20))), 4)
    0.0297
    """
    accuracy, several = sums.mean(sums.right), sums.count > 1
    square = sums.gap**2 - accuracy * (1 - accuracy) / np.where(several, sums.count - 1, 1)
    total = (sums.share * np.where(several, square, 0)).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(0, total)))


def _folded_normal_mean(mean: Floats, deviation: Floats) -> Floats:
    """E|X| of normal variables: σ √(2/π) exp(−μ²/2σ²) + μ erf(μ / σ√2)."""
    from scipy.special import erf

    folded = np.abs(mean)
    noisy = deviation > 0
    ratio = mean[noisy] / deviation[noisy]
    spread = deviation[noisy] * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    folded[noisy] = spread + mean[noisy] * erf(ratio / np.sqrt(2))
    return folded
