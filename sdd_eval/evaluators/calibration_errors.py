"""Every calibration error of some logits, each number with the convention that it follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import Intervals, beside
from sdd_eval.metrics.calibrated_floor import SIMULATIONS, EceFloor, ece_floor
from sdd_eval.metrics.calibration import (
    adaptive_ece,
    classwise_ece,
    debiased_ece,
    debiased_l2_calibration_error,
    ece,
    maximum_calibration_error,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll_per_image
from sdd_eval.metrics.smooth_ece import BISECTIONS, smooth_ece
from sdd_eval.metrics.weighted_calibration import (
    CELLS,
    weighted_adaptive_ece,
    weighted_classwise_ece,
    weighted_equal_width_errors,
    weighted_smooth_ece,
)
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats

#: Of the intervals that say where chance leaves a calibrated model.
LEVEL = 0.95

#: Errors over equal-width bins of the confidence, each with what it adds to the bins' convention.
OVER_EQUAL_WIDTHS = {
    "ece": (ece, ""),
    "ece_debiased": (
        debiased_ece,
        "; less what chance adds in expectation by the normal approximation of Kumar et al. "
        "(2019), at least 0",
    ),
    "ece_debiased_l2": (
        debiased_l2_calibration_error,
        "; root of the mean squared gap less its bins' unbiased variances, Kumar et al. (2019), "
        "at least 0; bins of one image contribute nothing",
    ),
}
MAXIMUM = (
    "; the largest gap of a bin, however few its images; no interval: no bootstrap covers a maximum"
)
ADAPTIVE = (
    "{bins} bins of equally many images; confidence = largest softmax probability at {scaling}, "
    "float64; equal confidences share what is right among them"
)
#: What the smooth error looks at in a resample.
SMOOTH_COST = CELLS * BISECTIONS
#: By how much a value in a matrix product is cheaper than one that is looked at by itself.
IN_A_PRODUCT = 64

SMOOTH = (
    "no bins: reflected Gaussian kernel, the smallest width σ with error ≤ σ (Błasiok, Nakkiran "
    "2024); confidence = largest softmax probability at {scaling}, float64"
)


def equal_width(bins: int, scaling: str) -> str:
    """The convention of equal-width bins, in words."""
    return (
        f"{bins} equal-width bins (0, 1/{bins}], …, ({bins - 1}/{bins}, 1]; "
        f"confidence = largest softmax probability at {scaling}, float64, "
        "within 1e-7 of an edge in the lower bin; empty bins contribute nothing"
    )


def calibration_errors(
    logits: NDArray[Any],
    labels: NDArray[Any],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    intervals: Intervals,
) -> Iterator[Measurement]:
    """`ece`, `mce`, `ece_debiased`, `ece_debiased_l2`, `ece_adaptive`, `ece_classwise`,
    `ece_floor`, `ece_smooth`, `nll` and `brier` of logits (n, classes).

    `ece_floor` is the mean ECE of a calibrated model with the same confidences, and its `low`
    and `high` the central 95 %. All with `at`, those over bins also at their number; `scaling` says
    in words what the logits were divided by; intervals hold for logits so divided.

    Raises:
        InputError: NaN or infinity among the logits.
    """
    confidence, correct = confidence_and_correct(logits, labels)
    of_bins = {**at, "bins": bins}
    yield from _of_confidence(confidence, correct, bins, scaling, of_bins, intervals)
    yield _classwise(logits, labels, bins, scaling, of_bins, intervals)
    yield _of_chance(ece_floor(confidence, bins, level=LEVEL), bins, scaling, of_bins)
    values = nll_per_image(logits, labels)
    protocol = f"mean of −log softmax of the label, float64, {scaling}"
    number = Measurement("nll", float(values.mean()), "nats", at, protocol)
    yield beside(number, intervals.mean(values))
    values = brier_per_image(logits, labels)
    protocol = f"squared distance to the label, summed over classes (0 to 2), float64, {scaling}"
    number = Measurement("brier", float(values.mean()), "number", at, protocol)
    yield beside(number, intervals.mean(values, highest=2.0))


def _of_confidence(
    confidence: Floats,
    correct: NDArray[np.bool_],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    intervals: Intervals,
) -> Iterator[Measurement]:
    """The errors over equal-width bins, over equally full ones, and without bins."""
    makers = (
        weighted_equal_width_errors(confidence, correct, bins),
        weighted_adaptive_ece(confidence, correct, bins),
        weighted_smooth_ece(confidence, correct),
    )

    def errors(weights: Any) -> Floats:
        return np.column_stack([make(weights) for make in makers])

    images = len(confidence)
    found = intervals.replicates(errors, images, 4 * images + SMOOTH_COST)
    told = [
        (metric, error(confidence, correct, bins), at, equal_width(bins, scaling) + note)
        for metric, (error, note) in OVER_EQUAL_WIDTHS.items()
    ]
    adaptive = adaptive_ece(confidence, correct, bins)
    told.append(("ece_adaptive", adaptive, at, ADAPTIVE.format(bins=bins, scaling=scaling)))
    without = {axis: value for axis, value in at.items() if axis != "bins"}
    smooth = smooth_ece(confidence, correct)
    told.append(("ece_smooth", smooth, without, SMOOTH.format(scaling=scaling)))
    largest = maximum_calibration_error(confidence, correct, bins)
    yield Measurement("mce", largest, "fraction", at, equal_width(bins, scaling) + MAXIMUM)
    for (metric, value, here, protocol), column in zip(told, found.T, strict=True):
        number = Measurement(metric, value, "fraction", here, protocol)
        yield beside(number, intervals.basic(value, column))


def _classwise(
    logits: NDArray[Any],
    labels: NDArray[Any],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    intervals: Intervals,
) -> Measurement:
    """The error of every class's probability."""
    protocol = (
        f"mean over all classes of the error of the class's softmax probability at {scaling} over "
        f"{bins} equal-width bins, each over all images"
    )
    value = classwise_ece(logits, labels, bins)
    errors = weighted_classwise_ece(logits, labels, bins)
    cost = logits.size * bins / IN_A_PRODUCT
    found = intervals.replicates(errors, len(labels), cost)
    number = Measurement("ece_classwise", value, "fraction", at, protocol)
    return beside(number, intervals.basic(value, found))


def _of_chance(chance: EceFloor, bins: int, scaling: str, at: Mapping[str, Any]) -> Measurement:
    """What chance leaves a calibrated model, with the interval in which it mostly lies."""
    protocol = (
        f"{equal_width(bins, scaling)}; of a calibrated model with these confidences: mean, and in "
        f"low and high the central {100 * LEVEL:g} %, of {SIMULATIONS:,} simulations, seed 0"
    )
    return Measurement(
        "ece_floor", chance.mean, "fraction", at, protocol, chance.low, chance.high, LEVEL
    )
