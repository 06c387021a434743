"""Calibration errors over equal-width bins: the ECE, its maximum, and debiased variants.

`confidence` is the largest softmax probability of each image (n,), and `correct` is whether its
prediction is correct (n,). Bins are (0, 1/M], …, (1 − 1/M, 1]. All errors are fractions. Intervals
are those of `statistics.closed_form.binned`, for the population's error over the same bins.

Sources: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
binning", in the form of Guo et al. (2017), "On calibration of modern neural networks" (ECE, MCE).
Kumar, Liang, Ma (2019), "Verified uncertainty calibration" (the debiased squared error, also in
Ferro and Fricker 2012, and the normal approximation for other powers, here in closed form).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats, float_array
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.binned import Bins
from sdd_eval.statistics.statistic import Ends, Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

# A confidence within 1e-7 of an edge lies in the lower bin. Half a float32 step (below 1.0) is
# added, so that rounding to float32 does not move a confidence to another bin.
EDGE_TOLERANCE = 1e-7 + 2.0**-25


def ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Return the expected calibration error, Σ count/n · |accuracy − mean confidence|.

    Args:
        confidence: largest softmax probabilities (n,).
        correct: whether each prediction is correct (n,).
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


def ece_of_bins(bins: Bins) -> Floats:
    """Return the `ece` (…) of bins."""
    total = bins.count.sum(axis=-1)
    return np.asarray(np.abs(bins.correct - bins.confidence).sum(axis=-1) / total)


def mce_of_bins(bins: Bins) -> Floats:
    """Return the maximum calibration error, max over filled bins of |accuracy − mean confidence|.

    A bin with one image counts like any other, so the value (…) is noisy if bins are small. It has
    no interval: in simulations, 95 % bootstrap intervals had a coverage of 46 to 70 %.

    >>> float(mce_of_bins(bin_sums([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0])).round(4))  # .3, .275, .1
    0.3
    """
    return np.asarray(np.abs(bins.gap).max(axis=-1))


def debiased_ece_of_bins(bins: Bins) -> Floats:
    """Return the debiased ECE (…), Σ count/n · (2 |gap| − E|gap + noise|), at least 0.

    Finitely many images inflate the ECE of even a calibrated model; this subtracts the expected
    inflation. Per bin, gap = accuracy − mean confidence, and the noise is normal with the variance
    accuracy (1 − accuracy) / count; it is 0 in a bin whose predictions are all correct or all
    wrong.

    >>> bins = bin_sums([0.75] * 100, [1] * 80 + [0] * 20)  # the ECE is .05
    >>> float(debiased_ece_of_bins(bins).round(4))
    0.046
    """
    return bins.debiased(np.sqrt(bins.mean(bins.accuracy * (1 - bins.accuracy))))


def debiased_l2_of_bins(bins: Bins) -> Floats:
    """Return √Σ count/n · (gap² − accuracy (1 − accuracy) / (count − 1)) (…), at least 0.

    The sum is an unbiased estimate of the squared calibration error of the binned model; bins of
    one image, whose variance is unknown, are left out.

    >>> float(debiased_l2_of_bins(bin_sums([0.75] * 100, [1] * 80 + [0] * 20)).round(4))
    0.0297
    """
    accuracy, several = bins.accuracy, bins.count > 1
    square = bins.gap**2 - accuracy * (1 - accuracy) / np.where(several, bins.count - 1, 1)
    total = (bins.share * np.where(several, square, 0)).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(0, total)))


def bin_sums(confidence: Any, correct: Any, bins: int = 10) -> Bins:
    """Return the sums over each equal-width bin (M,); errors are as in `ece`.

    A confidence of 0 lies in the first bin and one of 1.0 in the last; one within 1e-7 of an edge
    lies in the lower bin, in both float32 and float64.

    >>> bin_sums([0.2, 0.4, 1.0], [0, 1, 1], bins=2).correct
    array([1., 1.])
    """
    check_bins(bins)
    values, flags = check_confidences(confidence, correct)
    index, columns = bin_index(values, bins), (np.ones(len(values)), values, flags)
    sums = (np.bincount(index, column, minlength=bins) for column in columns)
    return Bins(*(column.astype(np.float64) for column in sums))


def bin_index(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """Return the zero-based index of the equal-width bin of each confidence.

    >>> bin_index(np.array([0.0, 0.1, 0.10001, 1.0]), 10)
    array([0, 0, 1, 9])
    """
    inner_edges = np.arange(1, bins) / bins
    return np.searchsorted(inner_edges + EDGE_TOLERANCE, confidence, side="left")


def check_confidences(confidence: Any, correct: Any) -> tuple[Floats, Floats]:
    """Return confidences (n,) and correct flags (n,) in float64; errors are as in `ece`.

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


#: Errors that are functions of the sums over equal-width bins.
EQUAL_WIDTH = {
    "ece": ece_of_bins,
    "mce": mce_of_bins,
    "ece_debiased": debiased_ece_of_bins,
    "ece_debiased_l2": debiased_l2_of_bins,
}
METHOD = "inverted consistency test below, square-and-add over bins above"
NO_MAXIMUM = "no method covers a maximum over bins"


def equal_width_errors(
    quantities: Sequence[Quantity], confidence: Any, correct: Any, bins: int
) -> Statistic:
    """Return errors over equal-width bins; the metrics of `quantities` are keys of `EQUAL_WIDTH`.

    Columns hold residuals, accuracy minus confidence, whose small sums are exact in float32.
    Arguments and errors are as in `ece`.
    """
    metrics = [quantity.metric for quantity in quantities]
    of_bins = bin_sums(confidence, correct, bins)
    confidences, flags = check_confidences(confidence, correct)
    index, residuals, n = bin_index(confidences, bins), flags - confidences, len(flags)

    def sums() -> SumStatistic:
        columns = np.zeros((n, bins, 3), dtype=np.float32)
        columns[np.arange(n), index] = np.stack([np.ones(n), flags, residuals], axis=1)
        return SumStatistic(columns.reshape(n, -1), finish, n)

    def finish(sums: Floats) -> Floats:
        count, right, residual = np.moveaxis(sums.reshape(-1, bins, 3), -1, 0)
        resampled = Bins(count, right - residual, right)
        return np.stack([EQUAL_WIDTH[metric](resampled) for metric in metrics], axis=-1)

    def bounds(level: float) -> list[Ends]:
        of_ece, of_l2 = binned.ece(of_bins, level), binned.l2_error(of_bins, level)
        known: dict[str, Ends] = {"mce": NO_MAXIMUM, "ece_debiased_l2": of_l2}
        return [known.get(metric, of_ece) for metric in metrics]

    def influence() -> Floats:
        gaps = of_bins.gap[index]
        by_sign, by_gap = np.sign(gaps) * residuals, gaps * residuals
        columns = [by_gap if metric == "ece_debiased_l2" else by_sign for metric in metrics]
        return np.stack(columns, axis=1)

    return Statistic(
        quantities=tuple(quantities),
        values=np.array([float(EQUAL_WIDTH[metric](of_bins)) for metric in metrics]),
        make_sums=sums,
        bounds=bounds,
        method=METHOD,
        influence=influence,
    )
