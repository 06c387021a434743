"""Calibration errors, before and after temperature scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.evaluators.temperature import (
    HELD_OUT,
    TEMPERATURE,
    fit_on_validation,
    logits_and_labels,
    temperature_bounds,
    temperature_text,
)
from sdd_eval.metrics.adaptive_ece import adaptive_error
from sdd_eval.metrics.calibrated_floor import SIMULATIONS, ece_floor
from sdd_eval.metrics.calibration import bin_index, bin_sums, equal_width_errors
from sdd_eval.metrics.classification import (
    brier_per_image,
    confidence_and_correct,
    loss_statistic,
    nll_per_image,
)
from sdd_eval.metrics.classwise_ece import classwise_error
from sdd_eval.metrics.smooth_ece import smooth_error
from sdd_eval.metrics.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE, cross_fit
from sdd_eval.statistics.closed_form.share import bounded_mean
from sdd_eval.statistics.intervals import Interval
from sdd_eval.statistics.statistic import SHARE, Quantity, Statistic, share_bounds, unpaired
from sdd_eval.validation import BINS

if TYPE_CHECKING:
    from sdd_eval.arrays import Arrays
    from sdd_eval.evaluators.subject import Subject

#: The axis of numbers after temperature scaling; numbers before scaling do not have it.
CROSS_FITTED = {"temperature": "cross-fitted"}
VALIDATED = {"temperature": "validation"}


@dataclass(frozen=True)
class Calibration(Evaluator):
    """Calibration errors, NLL and Brier score, before and after temperature scaling."""

    name: ClassVar[str] = "calibration"
    version: ClassVar[int] = 4
    from_logits: ClassVar[bool] = True
    stores_logits: ClassVar[bool] = True

    validation_set: str = collects("", loads="validation")
    """Images to fit the temperature on; none cross-fits it on two halves of the test images.
    Default: the checkpoint's validation images, if any."""
    bins: int = scores(10, bound=BINS)
    """Number of confidence bins, of equal width or (ece_adaptive) of equal mass."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `logits` (images, classes) float32 and `labels` (images,), class indices.

        With validation images, the facts are `temperature`, fitted on them, and
        `temperature_error`, the standard error of its logarithm, if known.
        """
        if not self.validation_set:
            return logits_and_labels(subject)
        fitted = fit_on_validation(subject, self.validation_set)
        error = None if math.isnan(fitted.error) else fitted.error
        return logits_and_labels(subject, temperature=fitted.value, temperature_error=error)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the errors, the bins, and the errors after temperature scaling.

        For each bin, from 1 to M, these are `bin_count`, `bin_confidence` (with an interval if the
        bin has at least 20 images), `bin_accuracy`, and `bin_accuracy_calibrated` with the interval
        of a calibrated model. After scaling, the errors are repeated, along with
        `temperature_fitted`: the axis `temperature` is "validation" or, without validation images,
        "cross-fitted" (which needs at least two images), with the T of each half. The numbers of
        the bins are those before scaling.

        Raises:
            InputError: a logit is NaN or infinite.
        """
        logits, labels, bins = arrays["logits"], arrays["labels"], self.bins
        yield from calibration_errors(logits, labels, bins, "T = 1", {})
        yield from bin_statistics(logits, labels, bins)
        if "temperature" in arrays.facts:
            value, error = arrays.facts["temperature"], arrays.facts.get("temperature_error")
            scaled = logits / np.float64(value)
            fitted = {"T": temperature_text(value)}
            yield from calibration_errors(scaled, labels, bins, ON_VALIDATION, VALIDATED, fitted)
            error = math.nan if error is None else error
            yield _temperature(value, error, VALIDATED, ON_VALIDATION)
        elif len(labels) > 1:
            scaled, temperatures = cross_fit(logits, labels)
            halves = dict(zip(("first", "second"), temperatures, strict=True))
            fitted = {f"the {half}'s T": temperature_text(t.value) for half, t in halves.items()}
            conditions = ON_OTHER_HALF, CROSS_FITTED, fitted
            yield from calibration_errors(scaled, labels, bins, *conditions)
            for half, one in halves.items():
                yield _temperature(one.value, one.error, {"half": half}, ON_HALF)


def bin_statistics(logits: NDArray[Any], labels: NDArray[Any], bins: int) -> Iterator[Statistic]:
    """Yield the numbers of each bin of the reliability diagram; only the count for empty bins."""
    confidence, correct = confidence_and_correct(logits, labels)
    of_bins, chance = bin_sums(confidence, correct, bins), ece_floor(confidence, bins, level=LEVEL)
    protocol, index_of = equal_width(bins, "T = 1"), bin_index(confidence, bins)
    simulated = {
        **protocol,
        "value": "value: mean confidence",
        "interval": "low, high: where the accuracy of a calibrated model with these confidences "
        f"lies in {100 * LEVEL:g} % of {SIMULATIONS:,} simulations, seed 0, of this bin by itself",
    }
    accuracies, confidences = of_bins.accuracy.tolist(), of_bins.mean_confidence.tolist()
    for index, count in enumerate(of_bins.count.tolist()):
        at = {"bins": bins, "bin": index + 1}
        yield unpaired(Quantity("bin_count", "images", at, protocol), count, IN_BIN)
        if not count:
            continue
        quantity = Quantity("bin_confidence", "fraction", at, protocol)
        yield _bin_confidence(quantity, confidence[index_of == index], index / bins, 1 / bins)
        quantity = Quantity("bin_accuracy", "fraction", at, protocol)
        ends: Any = partial(share_bounds, accuracies[index], count)
        yield unpaired(quantity, accuracies[index], IN_BIN, ends, SHARE)
        quantity = Quantity("bin_accuracy_calibrated", "fraction", at, simulated)
        ends = Interval(float(chance.bin_low[index]), float(chance.bin_high[index]), LEVEL, "")
        yield unpaired(quantity, confidences[index], IN_BIN, ends)


def _bin_confidence(
    quantity: Quantity, confidence: NDArray[np.float64], lowest: float, width: float
) -> Statistic:
    """Return the mean confidence of a bin's images (n,), with an interval if n is large enough."""
    ends: Any = f"fewer than {FEWEST_IN_A_BIN} images in the bin"
    if len(confidence) >= FEWEST_IN_A_BIN:
        ends = partial(bounded_mean, confidence, lowest, lowest + width)
    method = "Student's interval within the bin"
    return unpaired(quantity, float(confidence.mean()), IN_BIN, ends, method)


def _temperature(value: float, error: float, at: Mapping[str, Any], scaling: str) -> Statistic:
    """Return a fitted temperature, with an interval from the standard error of its logarithm."""
    fitted = {"T": temperature_text(value)}
    quantity = Quantity("temperature_fitted", "number", at, {"scaling": scaling}, fitted)
    bounds = partial(temperature_bounds, value, error)
    return unpaired(quantity, value, ONE_TEMPERATURE, bounds, TEMPERATURE)


#: Descriptions of the divisor of the logits.
_FITTED = f"T, fitted by NLL within [{MIN_TEMPERATURE:g}, {MAX_TEMPERATURE:g}]"
ON_VALIDATION = f"{_FITTED}, {HELD_OUT}"
ON_HALF = f"{_FITTED}, on one seeded half of the images to scale the other"
ON_OTHER_HALF = (
    "T cross-fitted: of two seeded halves of the images each is scaled with the other's, "
    f"the first's {_FITTED}, the second's {_FITTED}"
)

#: Confidence level of the intervals of a calibrated model.
LEVEL = 0.95

#: Minimum number of images for an interval of a bin's mean confidence.
FEWEST_IN_A_BIN = 20
#: Why the numbers of bins and fitted temperatures have no paired test.
IN_BIN = "a bin holds different images for each network"
ONE_TEMPERATURE = "one temperature is fitted to all images, not a sum over them"
SIMULATED = "it is simulated, not measured on these images"

#: Condition that each error over equal-width bins adds to those of the bins.
EQUAL_WIDTH_NOTES: Mapping[str, Mapping[str, str]] = {
    "ece": {},
    "ece_debiased": {
        "correction": "less what chance adds in expectation by the normal approximation of Kumar "
        "et al. (2019), at least 0"
    },
    "ece_debiased_l2": {
        "correction": "root of the mean squared gap less its bins' unbiased variances, Kumar et "
        "al. (2019), at least 0",
        "bins_of_one": "bins of one image contribute nothing",
    },
    "mce": {
        "definition": "the largest gap of a bin, however few its images",
        "interval": "no interval: no bootstrap covers a maximum",
    },
}


def equal_width(bins: int, scaling: str) -> dict[str, str]:
    """Return the conditions of equal-width bins."""
    return {
        "bins": f"{bins} equal-width bins (0, 1/{bins}], …, ({bins - 1}/{bins}, 1]",
        "confidence": f"confidence = largest softmax probability at {scaling}, float64, "
        "within 1e-7 of an edge in the lower bin",
        "empty_bins": "empty bins contribute nothing",
    }


#: Metrics that do not depend on bins.
WITHOUT_BINS = ("ece_smooth", "nll", "brier")
#: Units of the metrics that are not fractions.
UNITS = {"nll": "nats", "brier": "number"}
FLOOR = (
    "of a calibrated model with these confidences: mean, and in low and high the central "
    f"{100 * LEVEL:g} %, of {SIMULATIONS:,} simulations, seed 0"
)


def calibration_errors(
    logits: NDArray[Any],
    labels: NDArray[Any],
    bins: int,
    scaling: str,
    at: Mapping[str, Any],
    fitted: Mapping[str, str] | None = None,
) -> Iterator[Statistic]:
    """Yield every calibration error, the negative log-likelihood and the Brier score.

    `ece_floor` is the mean ECE of a calibrated model with the same confidences; its `low` and
    `high` are the central 95 %. Intervals treat the scaling as fixed.

    Logits are (n, classes), labels (n,); `scaling` describes the divisor of the logits, `at` holds
    the axes of all numbers, to which numbers over bins add `bins`, and `fitted` the fitted
    temperatures. Raise InputError for a NaN or infinite logit.
    """
    confidence, correct = confidence_and_correct(logits, labels)
    equal, protocols = equal_width(bins, scaling), _other_protocols(bins, scaling)

    def quantity(metric: str, protocol: Mapping[str, str]) -> Quantity:
        axes = at if metric in WITHOUT_BINS else {**at, "bins": bins}
        return Quantity(metric, UNITS.get(metric, "fraction"), axes, protocol, fitted or {})

    notes = EQUAL_WIDTH_NOTES.items()
    over_bins = [quantity(metric, {**equal, **note}) for metric, note in notes]
    yield equal_width_errors(over_bins, confidence, correct, bins)
    adaptive, smooth, classwise, nll, brier = (quantity(*item) for item in protocols.items())
    yield adaptive_error(adaptive, confidence, correct, bins)
    yield smooth_error(smooth, confidence, correct)
    yield classwise_error(classwise, logits, labels, bins)
    chance = ece_floor(confidence, bins, level=LEVEL)
    central = Interval(chance.low, chance.high, LEVEL, "")
    floor = quantity("ece_floor", {**equal, "floor": FLOOR})
    yield unpaired(floor, chance.mean, SIMULATED, central)
    yield loss_statistic(nll, nll_per_image, logits, labels)
    yield loss_statistic(brier, brier_per_image, logits, labels, highest=2.0)


def _other_protocols(bins: int, scaling: str) -> dict[str, dict[str, str]]:
    """Return the conditions of each metric that does not use equal-width confidence bins."""
    confidence = f"confidence = largest softmax probability at {scaling}, float64"
    return {
        "ece_adaptive": {
            "bins": f"{bins} bins of equally many images",
            "confidence": confidence,
            "ties": "equal confidences share what is right among them",
        },
        "ece_smooth": {
            "bins": "no bins: reflected Gaussian kernel, the smallest width σ with error ≤ σ "
            "(Błasiok, Nakkiran 2024)",
            "confidence": confidence,
        },
        "ece_classwise": {
            "definition": "mean over all classes of the error of the class's softmax probability "
            f"at {scaling} over {bins} equal-width bins, each over all images",
        },
        "nll": {"definition": f"mean of −log softmax of the label, float64, {scaling}"},
        "brier": {
            "definition": "squared distance to the label, summed over classes (0 to 2), float64, "
            f"{scaling}",
        },
    }
