"""Is the classifier as often right as it is sure? Calibration errors, before and after scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.calibration_errors import LEVEL, calibration_errors, equal_width
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, beside
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.evaluators.temperature import interval_of, on_validation
from sdd_eval.metrics.calibrated_floor import SIMULATIONS, EceFloor, ece_floor
from sdd_eval.metrics.calibration import ReliabilityBins, reliability_bins
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE, CrossFitted, cross_fit
from sdd_eval.metrics.weighted_calibration import weighted_bin_confidence
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

#: What stands in `at` of a number after temperature scaling; before it there is nothing.
CROSS_FITTED = {"temperature": "cross-fitted"}
VALIDATED = {"temperature": "validation"}
#: Resamples of fewer images vary too little for an interval of a bin's mean confidence.
FEWEST_IN_A_BIN = 20


@dataclass(frozen=True)
class Calibration:
    """Calibration errors, NLL and Brier score, as the network is and after temperature scaling."""

    name: ClassVar[str] = "calibration"
    version: ClassVar[int] = 4

    validation_set: str = collects("", loads="validation")
    """What T is fitted on: the checkpoint's validation images if it has any; none: crosswise."""
    bins: int = scores(10)
    """Number M of bins of confidence, of equal widths or (ece_adaptive) of equally many images."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    def collect(self, subject: Subject) -> Arrays:
        """`logits` (n, classes) float32 and `labels` (n,); with validation images `temperature`.

        That is the T, one for all images (n,), that fits the validation images best, and
        `temperature_error` (n,) the standard error of its logarithm.

        Raises:
            InputError: fewer than one bin.
        """
        if self.bins < 1:
            raise InputError(f"--bins is {self.bins}; at least 1 is needed")
        labels = subject.labels()
        arrays: Arrays = {"logits": subject.logits(), "labels": labels}
        if self.validation_set:
            fitted = on_validation(subject, self.validation_set)
            arrays["temperature"] = np.full(len(labels), fitted.value)
            arrays["temperature_error"] = np.full(len(labels), fitted.error)
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """The rows of `calibration_errors`, the bins, and the same errors after scaling.

        Of every bin, from 1 to M: `bin_count`, `bin_confidence` (with an interval from 20 images
        on), `bin_accuracy`, and `bin_accuracy_calibrated` with the interval in which
        chance leaves a calibrated model's.
        After scaling the errors again, and `temperature_fitted`: `at` temperature "validation", or
        without validation images "cross-fitted" (from two images on), with the T of each half.
        Bins are those of the network as it is.

        Raises:
            InputError: NaN or infinity among the logits.
        """
        logits, labels = arrays["logits"], arrays["labels"]
        bins, intervals = self.bins, self.intervals
        found = list(calibration_errors(logits, labels, bins, "T = 1", {}, intervals))
        found += self._bins(logits, labels)
        if "temperature" in arrays:
            scaled, how = logits / arrays["temperature"][:, None], _validated(arrays["temperature"])
            found += calibration_errors(scaled, labels, bins, how, VALIDATED, intervals)
            found.append(_measured_temperature(arrays, intervals.level))
        elif len(labels) > 1:
            scaling = cross_fit(logits, labels)
            how = _how(scaling)
            scaled = scaling.logits
            found += calibration_errors(scaled, labels, bins, how, CROSS_FITTED, intervals)
            found += _temperatures(scaling, intervals.level)
        return found

    def _bins(self, logits: NDArray[Any], labels: NDArray[Any]) -> Iterator[Measurement]:
        """The bins of the reliability diagram and its consistency band."""
        confidence, correct = confidence_and_correct(logits, labels)
        found = reliability_bins(confidence, correct, self.bins)
        chance = ece_floor(confidence, self.bins, level=LEVEL)
        sure = self.intervals.replicates(
            weighted_bin_confidence(confidence, self.bins), len(confidence), confidence.size
        )
        protocol = equal_width(self.bins, "T = 1")
        return _of_bins(found, chance, sure, protocol, self.intervals)


def _of_bins(
    found: ReliabilityBins,
    chance: EceFloor,
    sure: Floats,
    protocol: str,
    intervals: Intervals,
) -> Iterator[Measurement]:
    """What is measured of each bin; of an empty one only that it is empty.

    `sure` (resamples, bins) are mean confidences in resamples of the images.
    """
    bins, mean = len(found.count), f"{protocol}; with an interval from {FEWEST_IN_A_BIN} images on"
    simulated = (
        f"{protocol}; value: mean confidence; low, high: where the accuracy of a calibrated model "
        f"with these confidences lies in {100 * LEVEL:g} % of {SIMULATIONS:,} simulations, seed 0, "
        "of this bin by itself"
    )
    for index in range(bins):
        at = {"bins": bins, "bin": index + 1}
        count = int(found.count[index])
        yield Measurement("bin_count", float(count), "images", at, protocol)
        if count:
            confidence, accuracy = float(found.confidence[index]), float(found.accuracy[index])
            number = Measurement("bin_confidence", confidence, "fraction", at, mean)
            if count >= FEWEST_IN_A_BIN:
                number = beside(number, intervals.basic(confidence, sure[:, index]))
            yield number
            number = Measurement("bin_accuracy", accuracy, "fraction", at, protocol)
            yield beside(number, wilson_interval(round(accuracy * count), count, intervals.level))
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
    """Temperature scaling by validation images in words."""
    return f"{_fit(float(temperature[0]))}, on validation images held out of training"


def _measured_temperature(arrays: Mapping[str, NDArray[Any]], level: float) -> Measurement:
    """The temperature that the validation images gave."""
    value = float(arrays["temperature"][0])
    error = float(arrays.get("temperature_error", [math.nan])[0])
    how = _validated(arrays["temperature"])
    number = Measurement("temperature_fitted", value, "number", VALIDATED, how)
    return beside(number, interval_of(value, error, level))


def _how(scaling: CrossFitted) -> str:
    """Temperature scaling in words; the report strips the fitted values from these."""
    return (
        "T cross-fitted: of two seeded halves of the images each is scaled with the other's, "
        f"the first's {_fit(scaling.first.value)}, the second's {_fit(scaling.second.value)}"
    )


def _fit(value: float) -> str:
    bound = ", a bound of the range" if value in (MIN_TEMPERATURE, MAX_TEMPERATURE) else ""
    return (
        f"T = {value:.4g}{bound}, fitted by NLL within [{MIN_TEMPERATURE:g}, {MAX_TEMPERATURE:g}]"
    )


def _temperatures(scaling: CrossFitted, level: float) -> Iterator[Measurement]:
    """The temperature of each half, by which the other half's logits are divided."""
    for half, fitted in (("first", scaling.first), ("second", scaling.second)):
        protocol = f"{_fit(fitted.value)}, on one seeded half of the images to scale the other"
        number = Measurement("temperature_fitted", fitted.value, "number", {"half": half}, protocol)
        yield beside(number, interval_of(fitted.value, fitted.error, level))
