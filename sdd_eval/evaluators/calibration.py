"""Calibration errors, before and after temperature scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import INTERVALS, Intervals, with_interval
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.evaluators.temperature import fit_on_validation, interval_of
from sdd_eval.metrics.calibrated_floor import SIMULATIONS, EceFloor, ece_floor
from sdd_eval.metrics.calibration import (
    ReliabilityBins,
    adaptive_ece,
    classwise_ece,
    debiased_ece,
    debiased_l2_calibration_error,
    ece,
    maximum_calibration_error,
    reliability_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll_per_image
from sdd_eval.metrics.smooth_ece import BISECTIONS, smooth_ece
from sdd_eval.metrics.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE, CrossFitted, cross_fit
from sdd_eval.metrics.weighted_calibration import (
    CELLS,
    weighted_adaptive_ece,
    weighted_bin_confidence,
    weighted_classwise_ece,
    weighted_equal_width_errors,
    weighted_smooth_ece,
)
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.intervals import wilson_interval
from sdd_eval.validation import FROM_1, check_bounds

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

#: The axis of numbers after temperature scaling; numbers before it have none.
CROSS_FITTED = {"temperature": "cross-fitted"}
VALIDATED = {"temperature": "validation"}
#: Fewest images for an interval of a bin's mean confidence: fewer vary too little.
FEWEST_IN_A_BIN = 20


@dataclass(frozen=True)
class Calibration:
    """Calibration errors, NLL and Brier score, without and with temperature scaling."""

    name: ClassVar[str] = "calibration"
    version: ClassVar[int] = 4

    validation_set: str = collects("", loads="validation")
    """Images that T is fitted on; default: the checkpoint's validation images, if any; none: two
    halves of the test images, each scaled by the other's T."""
    bins: int = scores(10)
    """Number of confidence bins, of equal width or (ece_adaptive) with equally many images."""
    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    def __post_init__(self) -> None:
        """Raise InputError for fewer than one bin."""
        check_bounds(self, {"bins": FROM_1}, "--")

    def collect(self, subject: Subject) -> Arrays:
        """Return `logits` (n, classes) float32 and `labels` (n,).

        With validation images also `temperature` (n,), fitted on them and constant over images, and
        `temperature_error` (n,), the standard error of its logarithm.
        """
        labels = subject.labels()
        arrays: Arrays = {"logits": subject.logits(), "labels": labels}
        if self.validation_set:
            fitted = fit_on_validation(subject, self.validation_set)
            arrays["temperature"] = np.full(len(labels), fitted.value)
            arrays["temperature_error"] = np.full(len(labels), fitted.error)
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Return the errors, the bins, and the errors after temperature scaling.

        Of each bin, from 1 to M: `bin_count`, `bin_confidence` (with an interval from 20 images
        on), `bin_accuracy`, and `bin_accuracy_calibrated` with the interval of a calibrated model.
        After scaling the errors again, and `temperature_fitted`: the axis `temperature` is
        "validation", or without validation images "cross-fitted" (from two images on), with the T
        of each half. Bins are those before scaling.

        Raises:
            InputError: a logit is NaN or infinite.
        """
        logits, labels = arrays["logits"], arrays["labels"]
        bins, intervals = self.bins, self.intervals
        rows = list(calibration_errors(logits, labels, bins, "T = 1", {}, intervals))
        rows += self._bins(logits, labels)
        if "temperature" in arrays:
            scaled, how = logits / arrays["temperature"][:, None], _validated(arrays["temperature"])
            rows += calibration_errors(scaled, labels, bins, how, VALIDATED, intervals)
            rows.append(_validated_temperature(arrays, intervals.level))
        elif len(labels) > 1:
            scaling = cross_fit(logits, labels)
            scaled, how = scaling.logits, _cross_fitted(scaling)
            rows += calibration_errors(scaled, labels, bins, how, CROSS_FITTED, intervals)
            rows += _cross_fitted_temperatures(scaling, intervals.level)
        return rows

    def _bins(self, logits: NDArray[Any], labels: NDArray[Any]) -> Iterator[Measurement]:
        """Yield the bins of the reliability diagram and its consistency band."""
        confidence, correct = confidence_and_correct(logits, labels)
        reliability = reliability_bins(confidence, correct, self.bins)
        chance = ece_floor(confidence, self.bins, level=LEVEL)
        resamples = self.intervals.replicates(
            weighted_bin_confidence(confidence, self.bins), len(confidence), confidence.size
        )
        protocol = equal_width(self.bins, "T = 1")
        return _bin_rows(reliability, chance, resamples, protocol, self.intervals)


def _bin_rows(
    reliability: ReliabilityBins,
    chance: EceFloor,
    resamples: Floats,
    protocol: str,
    intervals: Intervals,
) -> Iterator[Measurement]:
    """Yield the numbers of each bin; of an empty bin only its count.

    `resamples` (resamples, bins) are mean confidences in resamples of the images.
    """
    bins, mean = (
        len(reliability.count),
        f"{protocol}; with an interval from {FEWEST_IN_A_BIN} images on",
    )
    simulated = (
        f"{protocol}; value: mean confidence; low, high: where the accuracy of a calibrated model "
        f"with these confidences lies in {100 * LEVEL:g} % of {SIMULATIONS:,} simulations, seed 0, "
        "of this bin by itself"
    )
    for index in range(bins):
        at = {"bins": bins, "bin": index + 1}
        count = int(reliability.count[index])
        yield Measurement("bin_count", float(count), "images", at, protocol)
        if count:
            confidence = float(reliability.confidence[index])
            accuracy = float(reliability.accuracy[index])
            number = Measurement("bin_confidence", confidence, "fraction", at, mean)
            if count >= FEWEST_IN_A_BIN:
                number = with_interval(number, intervals.basic(confidence, resamples[:, index]))
            yield number
            number = Measurement("bin_accuracy", accuracy, "fraction", at, protocol)
            yield with_interval(
                number, wilson_interval(round(accuracy * count), count, intervals.level)
            )
            yield Measurement(
                metric="bin_accuracy_calibrated",
                value=confidence,
                unit="fraction",
                at=at,
                protocol=simulated,
                low=float(chance.bin_low[index]),
                high=float(chance.bin_high[index]),
                level=LEVEL,
            )


def _validated(temperature: NDArray[Any]) -> str:
    """Return temperature scaling by validation images in words."""
    return f"{_fit(float(temperature[0]))}, on validation images held out of training"


def _validated_temperature(arrays: Mapping[str, NDArray[Any]], level: float) -> Measurement:
    """Return the temperature fitted on the validation images."""
    value = float(arrays["temperature"][0])
    error = float(arrays.get("temperature_error", [math.nan])[0])
    how = _validated(arrays["temperature"])
    number = Measurement("temperature_fitted", value, "number", VALIDATED, how)
    return with_interval(number, interval_of(value, error, level))


def _cross_fitted(scaling: CrossFitted) -> str:
    """Return cross-fitted scaling in words; the report removes the fitted values from them."""
    return (
        "T cross-fitted: of two seeded halves of the images each is scaled with the other's, "
        f"the first's {_fit(scaling.first.value)}, the second's {_fit(scaling.second.value)}"
    )


def _fit(value: float) -> str:
    bound = ", a bound of the range" if value in (MIN_TEMPERATURE, MAX_TEMPERATURE) else ""
    return (
        f"T = {value:.4g}{bound}, fitted by NLL within [{MIN_TEMPERATURE:g}, {MAX_TEMPERATURE:g}]"
    )


def _cross_fitted_temperatures(scaling: CrossFitted, level: float) -> Iterator[Measurement]:
    """Yield the temperature of each half, which scales the other half."""
    for half, fitted in (("first", scaling.first), ("second", scaling.second)):
        protocol = f"{_fit(fitted.value)}, on one seeded half of the images to scale the other"
        number = Measurement("temperature_fitted", fitted.value, "number", {"half": half}, protocol)
        yield with_interval(number, interval_of(fitted.value, fitted.error, level))


#: Level of the intervals of a calibrated model.
LEVEL = 0.95

#: Errors over equal-width bins, and what each adds to the convention of the bins.
EQUAL_WIDTH_ERRORS = {
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
#: Values that the smooth error processes in a resample.
SMOOTH_COST = CELLS * BISECTIONS
#: How many times cheaper a value in a matrix product is.
PRODUCT_SPEEDUP = 64

SMOOTH = (
    "no bins: reflected Gaussian kernel, the smallest width σ with error ≤ σ (Błasiok, Nakkiran "
    "2024); confidence = largest softmax probability at {scaling}, float64"
)


def equal_width(bins: int, scaling: str) -> str:
    """Return the convention of equal-width bins in words."""
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
    """Yield every calibration error, the negative log-likelihood and the Brier score.

    `ece_floor` is the mean ECE of a calibrated model with the same confidences; its `low` and
    `high` are the central 95 %. Intervals treat the scaling as fixed.

    Args:
        logits: (n, classes).
        labels: class indices (n,).
        bins: number of bins.
        scaling: the divisor of the logits in words.
        at: axes of all numbers; those over bins also have the axis `bins`.
        intervals: settings of the intervals.

    Raises:
        InputError: a logit is NaN or infinite.
    """
    confidence, correct = confidence_and_correct(logits, labels)
    at_bins = {**at, "bins": bins}
    yield from _confidence_errors(confidence, correct, bins, scaling, at_bins, intervals)
    yield _classwise(logits, labels, bins, scaling, at_bins, intervals)
    yield _floor(ece_floor(confidence, bins, level=LEVEL), bins, scaling, at_bins)
    values = nll_per_image(logits, labels)
    protocol = f"mean of −log softmax of the label, float64, {scaling}"
    number = Measurement("nll", float(values.mean()), "nats", at, protocol)
    yield with_interval(number, intervals.mean(values))
    values = brier_per_image(logits, labels)
    protocol = f"squared distance to the label, summed over classes (0 to 2), float64, {scaling}"
    number = Measurement("brier", float(values.mean()), "number", at, protocol)
    yield with_interval(number, intervals.mean(values, highest=2.0))


def _confidence_errors(
    confidence: Floats,
    correct: NDArray[np.bool_],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    intervals: Intervals,
) -> Iterator[Measurement]:
    """Yield the errors over equal-width bins, over equal-mass bins, and without bins."""
    weighted = (
        weighted_equal_width_errors(confidence, correct, bins),
        weighted_adaptive_ece(confidence, correct, bins),
        weighted_smooth_ece(confidence, correct),
    )

    def errors(weights: Any) -> Floats:
        return np.column_stack([make(weights) for make in weighted])

    images = len(confidence)
    resamples = intervals.replicates(errors, images, 4 * images + SMOOTH_COST)
    numbers = [
        (metric, error(confidence, correct, bins), at, equal_width(bins, scaling) + note)
        for metric, (error, note) in EQUAL_WIDTH_ERRORS.items()
    ]
    adaptive = adaptive_ece(confidence, correct, bins)
    numbers.append(("ece_adaptive", adaptive, at, ADAPTIVE.format(bins=bins, scaling=scaling)))
    without = {axis: value for axis, value in at.items() if axis != "bins"}
    smooth = smooth_ece(confidence, correct)
    numbers.append(("ece_smooth", smooth, without, SMOOTH.format(scaling=scaling)))
    largest = maximum_calibration_error(confidence, correct, bins)
    yield Measurement("mce", largest, "fraction", at, equal_width(bins, scaling) + MAXIMUM)
    for (metric, value, axes, protocol), column in zip(numbers, resamples.T, strict=True):
        number = Measurement(metric, value, "fraction", axes, protocol)
        yield with_interval(number, intervals.basic(value, column))


def _classwise(
    logits: NDArray[Any],
    labels: NDArray[Any],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    intervals: Intervals,
) -> Measurement:
    """Return the mean calibration error of the classes' probabilities."""
    protocol = (
        f"mean over all classes of the error of the class's softmax probability at {scaling} over "
        f"{bins} equal-width bins, each over all images"
    )
    value = classwise_ece(logits, labels, bins)
    errors = weighted_classwise_ece(logits, labels, bins)
    cost = logits.size * bins / PRODUCT_SPEEDUP
    resamples = intervals.replicates(errors, len(labels), cost)
    number = Measurement("ece_classwise", value, "fraction", at, protocol)
    return with_interval(number, intervals.basic(value, resamples))


def _floor(chance: EceFloor, bins: int, scaling: str, at: Mapping[str, Any]) -> Measurement:
    """Return the ECE of a calibrated model, with its central interval."""
    protocol = (
        f"{equal_width(bins, scaling)}; of a calibrated model with these confidences: mean, and in "
        f"low and high the central {100 * LEVEL:g} %, of {SIMULATIONS:,} simulations, seed 0"
    )
    return Measurement(
        "ece_floor", chance.mean, "fraction", at, protocol, chance.low, chance.high, LEVEL
    )
