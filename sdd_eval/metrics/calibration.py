"""Calibration errors over bins: ECE and its maximum, debiased, adaptive and classwise variants.

`confidence` is the largest softmax probability of each image (n,), `correct` whether its prediction
is right (n,). Equal-width bins are (0, 1/M], …, (1 − 1/M, 1]. All errors are fractions.

Sources: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
binning", in the form of Guo et al. (2017), "On calibration of modern neural networks" (ECE, MCE).
Kumar, Liang, Ma (2019), "Verified uncertainty calibration" (the debiased squared error, also in
Ferro and Fricker 2012, and the normal approximation for other powers, here in closed form). Nguyen,
O'Connor (2015), "Posterior calibration and exploratory analysis for natural language processing
models" (equal-mass bins). Kull et al. (2019), "Beyond temperature scaling" (classwise ECE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import (
    Floats,
    class_indices,
    float_array,
    logit_matrix,
    probability_blocks,
)
from sdd_eval.statistics.closed_form.binned import debiased_absolute

# A confidence within 1e-7 of an edge lies in the lower bin. Half a float32 step (below 1.0) is
# added, so that rounding to float32 does not move a confidence to another bin.
EDGE_TOLERANCE = 1e-7 + 2.0**-25


@dataclass(frozen=True)
class ReliabilityBins:
    """Count, mean confidence and accuracy of each bin (M,); the latter two are NaN if empty."""

    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


@dataclass(frozen=True)
class BinSums:
    """Sums over the images of each bin (…, M): their number, confidences and correct ones.

    Images may carry weights; leading axes hold several weightings.
    """

    count: Floats
    confidence: Floats
    right: Floats

    @property
    def share(self) -> Floats:
        """The fraction of all images in each bin."""
        return np.asarray(self.count / self.count.sum(axis=-1, keepdims=True))

    def mean(self, sums: Floats) -> Floats:
        """Divide sums by the bins' counts; 0 in empty bins."""
        return np.divide(sums, self.count, out=np.zeros(sums.shape), where=self.count > 0)

    @property
    def gap(self) -> Floats:
        """Accuracy minus mean confidence of each bin; 0 in empty bins."""
        return self.mean(self.right - self.confidence)


def ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Return the expected calibration error, Σ count/n · |accuracy − mean confidence|.

    Args:
        confidence: largest softmax probabilities (n,).
        correct: whether each prediction is right (n,).
        bins: number of equal-width bins.

    Raises:
        InputError: `bins` is below 1; the arrays are empty or differ in length; a confidence is NaN
            or outside [0, 1]; or a flag is neither 0 nor 1.

    >>> ece([1.0, 1.0], [False, False])
    1.0
    >>> round(ece([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0]), 4)  # (.1 + |1.55 − 1| + .3) / 4
    0.2375
    """
    return float(ece_of_bins(bin_sums(confidence, correct, bins)))


def ece_of_bins(sums: BinSums) -> Floats:
    """Return `ece` (…) of bins."""
    total = sums.count.sum(axis=-1)
    return np.asarray(np.abs(sums.right - sums.confidence).sum(axis=-1) / total)


def mce_of_bins(sums: BinSums) -> Floats:
    """Return the maximum calibration error, max over filled bins of |accuracy − mean confidence|.

    A bin of one image counts like any other, so the number (…) is noisy where bins are small. It
    has no interval: in simulations a 95 % bootstrap interval covered 46 to 70 %.

    >>> float(mce_of_bins(bin_sums([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0])).round(4))  # .3, .275, .1
    0.3
    """
    return np.asarray(np.abs(sums.gap).max(axis=-1))


def debiased_ece_of_bins(sums: BinSums) -> Floats:
    """Return the debiased ECE (…), Σ count/n · (2 |gap| − E|gap + noise|), at least 0.

    Finitely many images inflate the ECE of even a calibrated model; this subtracts the expected
    inflation. Per bin, gap = accuracy − mean confidence, and the noise is normal with the variance
    accuracy (1 − accuracy) / count; it is 0 in a bin all right or all wrong.

    >>> sums = bin_sums([0.75] * 100, [1] * 80 + [0] * 20)  # the ECE is .05
    >>> float(debiased_ece_of_bins(sums).round(4))
    0.046
    """
    accuracy = sums.mean(sums.right)
    deviation = np.sqrt(sums.mean(accuracy * (1 - accuracy)))
    corrected = debiased_absolute(sums.gap, deviation)
    return np.asarray(np.maximum(0, (sums.share * corrected).sum(axis=-1)))


def debiased_l2_of_bins(sums: BinSums) -> Floats:
    """Return √Σ count/n · (gap² − accuracy (1 − accuracy) / (count − 1)) (…), at least 0.

    The sum is an unbiased estimate of the squared calibration error of the binned model; bins of
    one image, whose variance is unknown, are left out.

    >>> float(debiased_l2_of_bins(bin_sums([0.75] * 100, [1] * 80 + [0] * 20)).round(4))
    0.0297
    """
    accuracy, several = sums.mean(sums.right), sums.count > 1
    square = sums.gap**2 - accuracy * (1 - accuracy) / np.where(several, sums.count - 1, 1)
    total = (sums.share * np.where(several, square, 0)).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(0, total)))


def adaptive_ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Return the adaptive ECE: the ECE over equal-mass instead of equal-width bins.

    Images are sorted by confidence and split into `bins` groups whose sizes differ by at most one,
    larger groups first. Images with equal confidences share their mean correctness, so that the
    order of the images does not matter. Arguments and errors as in `ece`.

    >>> round(adaptive_ece([0.9, 0.8, 0.6, 0.5], [1, 1, 0, 1], bins=2), 4)  # (.05 + .15) / 2
    0.1
    >>> adaptive_ece([1.0, 1.0], [False, True], bins=2)
    0.5
    """
    check_bins(bins)
    confidences, flags = check_confidences(confidence, correct)
    order = np.argsort(confidences, kind="stable")
    ranked = confidences[order]
    residuals = tie_means(ranked, flags[order]) - ranked
    sums = np.concatenate([[0.0], np.cumsum(residuals)])
    edges = np.cumsum([0, *equal_mass_sizes(len(ranked), bins)])
    return float(np.abs(np.diff(sums[edges])).sum() / len(ranked))


def equal_mass_sizes(images: int, bins: int) -> list[int]:
    """Return the sizes of equal-mass bins, which differ by at most one, larger ones first.

    >>> equal_mass_sizes(8, 3)
    [3, 3, 2]
    """
    size, larger = divmod(images, bins)
    return [size + (index < larger) for index in range(bins)]


def tie_means(ranked: Floats, values: Floats) -> Floats:
    """Replace values (n,) whose sorted keys `ranked` (n,) are equal by their mean.

    >>> tie_means(np.array([0.1, 0.5, 0.5]), np.array([1.0, 0.0, 1.0]))
    array([1. , 0.5, 0.5])
    """
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    sizes = np.diff(np.append(starts, len(ranked)))
    means: Floats = np.add.reduceat(values, starts) / sizes
    return np.repeat(means, sizes)


def classwise_ece(logits: Any, labels: Any, bins: int = 10) -> float:
    """Return the classwise ECE: the mean over classes of each class's ECE.

    The ECE of a class compares, over all n images, its softmax probability with whether it is the
    label, in equal-width bins. Classes without images count like the others. Raise InputError for
    logits (n, classes) that are NaN or infinite, labels (n,) that do not match, or no bins.

    >>> classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 0])
    0.5
    """
    return float(ece_of_bins(classwise_sums(logits, labels, bins)))


def classwise_sums(logits: Any, labels: Any, bins: int = 10) -> BinSums:
    """Return the sums of each class's probabilities over each of its bins (classes · M,).

    An image counts once for each class, and is right for the class that is its label. Errors as in
    `classwise_ece`.

    >>> classwise_sums([[0.0, 0.0]], [0], bins=2).right
    array([1., 0., 0., 0.])
    """
    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    targets = class_indices(labels, images=images, classes=classes)
    size = classes * bins
    count, confidence, right = np.zeros(size), np.zeros(size), np.zeros(size)
    for rows, block in probability_blocks(values):
        cells = np.arange(classes) * bins + bin_index(block, bins)
        target_cells = np.take_along_axis(cells, targets[rows, None], axis=1)[:, 0]
        count += np.bincount(cells.ravel(), minlength=size)
        confidence += np.bincount(cells.ravel(), block.ravel(), minlength=size)
        right += np.bincount(target_cells, minlength=size)
    return BinSums(count, confidence, right)


def reliability_bins(confidence: Any, correct: Any, bins: int = 10) -> ReliabilityBins:
    """Return count, mean confidence and accuracy of each equal-width bin.

    A confidence of 0 lies in the first bin and one of 1.0 in the last; one within 1e-7 of an edge
    lies in the lower bin, in float32 as in float64. Arguments and errors as in `ece`.

    >>> reliability_bins([0.2, 0.4, 1.0], [0, 1, 1], bins=2).count
    array([2, 1])
    """
    sums = bin_sums(confidence, correct, bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            sums.count.astype(np.int64), sums.confidence / sums.count, sums.right / sums.count
        )


def bin_index(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """Return the index, from 0, of the equal-width bin of each confidence.

    >>> bin_index(np.array([0.0, 0.1, 0.10001, 1.0]), 10)
    array([0, 0, 1, 9])
    """
    inner_edges = np.arange(1, bins) / bins
    return np.searchsorted(inner_edges + EDGE_TOLERANCE, confidence, side="left")


def check_confidences(confidence: Any, correct: Any) -> tuple[Floats, Floats]:
    """Return confidences (n,) and correct flags (n,) in float64; errors as in `ece`.

    >>> check_confidences([0.5], [True])
    (array([0.5]), array([1.]))
    """
    values, flags = float_array(confidence, "confidences"), float_array(correct, "correct flags")
    if len(values) != len(flags):
        raise InputError(f"there are {len(values)} confidences and {len(flags)} correct flags")
    outside = (values < 0) | (values > 1 + EDGE_TOLERANCE)
    if outside.any():
        raise InputError(f"confidence {values[outside][0]:g} is outside [0, 1]")
    if ((flags != 0) & (flags != 1)).any():
        raise InputError("correct flags must be 0 or 1 (False or True), and some are neither")
    return np.minimum(values, 1), flags


def check_bins(bins: int) -> int:
    """Return the number of bins; raise InputError if it is below 1."""
    if bins < 1:
        raise InputError(f"bins is {bins}; at least 1 is needed")
    return bins


def bin_sums(confidence: Any, correct: Any, bins: int = 10) -> BinSums:
    """Return the sums over each equal-width bin (M,); errors as in `ece`.

    >>> bin_sums([0.2, 0.4, 1.0], [0, 1, 1], bins=2).right
    array([1., 1.])
    """
    check_bins(bins)
    values, flags = check_confidences(confidence, correct)
    index, columns = bin_index(values, bins), (np.ones(len(values)), values, flags)
    sums = (np.bincount(index, column, minlength=bins) for column in columns)
    return BinSums(*(column.astype(np.float64) for column in sums))
