"""Temperatures fitted on validation images, or on the test images themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.pictures import mistakes
from sdd_eval.metrics.temperature import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    FittedTemperature,
    fit_temperature,
)
from sdd_eval.statistics.closed_form.share import Bounds
from sdd_eval.statistics.intervals import normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdd_eval.evaluators.subject import Subject


def logits_and_labels(subject: Subject, **facts: Any) -> Arrays:
    """Return `logits` (images, classes) float32 and `labels` (images,), class indices.

    Pictures of the most confident mistakes are included.
    """
    logits, labels = subject.logits(), subject.labels()
    entries = [Array("logits", logits, ("images", "classes")), Array("labels", labels)]
    return Arrays(entries, **facts) | mistakes(subject, logits, labels)


def fit_on_validation(subject: Subject, validation_set: str) -> FittedTemperature:
    """Fit the temperature on all validation images, regardless of the limit."""
    images = subject.sets[validation_set]
    logits = subject.logits(images, f"{images.name}, for T", np.arange(len(images)))
    return fit_temperature(logits, images.labels)


def temperature_of(
    subject: Subject, validation_set: str, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """Return the temperature fitted on the validation set, or on the logits if that is empty."""
    if validation_set:
        return fit_on_validation(subject, validation_set).value
    return fit_temperature(logits, labels).value


def fitted_words(validation_set: bool) -> str:
    """Describe what a temperature was fitted on.

    >>> fitted_words(validation_set=False)
    "T, fitted by NLL to these images' clean logits"
    """
    of_test = "to these images' clean logits"
    return f"T, fitted by NLL {HELD_OUT if validation_set else of_test}"


def temperature_text(temperature: float) -> str:
    """Return a fitted temperature as text, with a note if it is at a bound of the range.

    >>> temperature_text(1.25), temperature_text(MIN_TEMPERATURE)
    ('1.25', '0.05, a bound of the range')
    """
    bound = ", a bound of the range" if temperature in (MIN_TEMPERATURE, MAX_TEMPERATURE) else ""
    return f"{temperature:.4g}{bound}"


#: Descriptions of what a temperature was fitted on.
HELD_OUT = "on validation images held out of training"


#: Method used for the interval of a temperature.
TEMPERATURE = "normal interval of log T, sandwich standard error"


def temperature_bounds(temperature: float, error: float, level: float) -> Bounds | str:
    """Return the bounds of a temperature from the standard error of log T, if known.

    >>> [round(end, 3) for end in temperature_bounds(2.0, 0.1, 0.95)[1:3]]
    [1.644, 2.433]
    """
    if math.isnan(error):
        return ""
    with np.errstate(over="ignore"):
        factor = np.exp(normal_quantile(level) * error)
    ends = np.clip([temperature / factor, temperature * factor], MIN_TEMPERATURE, MAX_TEMPERATURE)
    return Bounds(temperature, *ends.tolist())
