"""The calibration error of two sides at equal mean confidence.

A less confident network has a lower calibration error wherever the other one is overconfident. To
see whether a lower error has other causes, too, each base network's logits are divided by the
temperature at which its mean confidence equals that of the other side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdd_eval.arrays import Arrays
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE


def temperature_of_confidence(logits: Any, labels: Any, confidence: float) -> float:
    """Return the temperature, within [0.05, 20], that yields a mean confidence.

    Logits are (images, classes), labels (images,). The mean confidence falls with the temperature.

    >>> round(temperature_of_confidence([[2.0, 0.0]], [0], 0.75), 3)  # 2 / log 3
    1.82
    """
    from scipy.optimize import brentq

    values = np.asarray(logits, dtype=np.float64)

    def excess(log_temperature: float) -> float:
        scaled = values / math.exp(log_temperature)
        return float(confidence_and_correct(scaled, labels)[0].mean()) - confidence

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    if excess(low) <= 0:
        return MIN_TEMPERATURE
    if excess(high) >= 0:
        return MAX_TEMPERATURE
    return math.exp(brentq(excess, low, high, xtol=1e-6))


def errors_at_equal_confidence(
    base: Sequence[Arrays], other: Sequence[Arrays], bins: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the ECE of each network of both sides, the base at the other side's mean confidence.

    The arrays of a network have `logits` and `labels`, as the evaluator `calibration` stores them.
    """
    measured = [confidence_and_correct(a["logits"], a["labels"]) for a in other]
    confidence = float(np.mean([one.mean() for one, _ in measured]))
    scaled = []
    for arrays in base:
        logits, labels = np.asarray(arrays["logits"], dtype=np.float64), arrays["labels"]
        temperature = temperature_of_confidence(logits, labels, confidence)
        scaled.append(ece(*confidence_and_correct(logits / temperature, labels), bins))
    return tuple(scaled), tuple(ece(*one, bins) for one in measured)
