"""Temperature scaling: fit the single divisor of the logits that maximises the likelihood.

Source: Guo et al. (2017), "On calibration of modern neural networks".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats, LogitMatrix, float64_blocks, logits_and_targets

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


@dataclass(frozen=True)
class FittedTemperature:
    """A fitted temperature.

    Attributes:
        value: the temperature T.
        at_bound: whether T is at a bound of the search range instead of at a minimum inside it.
        error: standard error of log T for new images; NaN without a minimum.
    """

    value: float
    at_bound: bool
    error: float = math.nan


def fit_temperature(logits: Any, labels: Any) -> FittedTemperature:
    """Return the temperature in [0.05, 20] with the lowest negative log-likelihood.

    The negative log-likelihood is convex in 1/T, so the root of its derivative, the mean of Σ_j p_j
    z_j − z_label, is the minimum. If all temperatures are equally likely (equal logits), T is 1.

    Raise InputError for logits (n, classes) that are NaN or infinite, or labels (n,) that do not
    match them.

    >>> always_2_to_1 = [[0.0, 0.0]] * 2 + [[9.0, 0.0]] * 3
    >>> fitted = fit_temperature(always_2_to_1, [0, 1, 0, 0, 1])
    >>> round(fitted.value, 3), fitted.at_bound  # 9 / T = log 2
    (12.984, False)
    """
    from scipy.optimize import brentq

    values, targets = logits_and_targets(logits, labels)

    def derivative(inverse: float) -> float:
        blocks = _derivatives(values, targets, inverse)
        return sum(float(derivatives.sum()) for derivatives, _, _ in blocks) / len(values)

    at_highest, at_lowest = derivative(1 / MAX_TEMPERATURE), derivative(1 / MIN_TEMPERATURE)
    if at_highest == at_lowest == 0:
        return FittedTemperature(1.0, at_bound=False)
    if at_highest >= 0:
        return FittedTemperature(MAX_TEMPERATURE, at_bound=True)
    if at_lowest <= 0:
        return FittedTemperature(MIN_TEMPERATURE, at_bound=True)
    inverse = brentq(derivative, 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, xtol=1e-10)
    return FittedTemperature(1 / inverse, False, _log_error(values, targets, inverse))


def _derivatives(
    values: LogitMatrix, targets: NDArray[np.int64], inverse: float
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield per block the loss derivatives by 1/T, the unnormalised softmax and shifted logits."""
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        weights = np.exp(block * inverse)
        target_logits = np.take_along_axis(block, targets[rows, None], axis=1)[:, 0]
        expected = (weights * block).sum(axis=1) / weights.sum(axis=1)
        yield expected - target_logits, weights, block


def _log_error(values: LogitMatrix, targets: NDArray[np.int64], inverse: float) -> float:
    """Return the standard error of log T at the minimum, also valid for miscalibrated networks.

    It is the standard error of 1/T divided by 1/T, i.e. the root of the summed squared derivatives
    over the curvature Σ Var_p(z), the sandwich estimator of White (1982), "Maximum likelihood
    estimation of misspecified models".
    """
    squares = curvature = 0.0
    for derivatives, weights, block in _derivatives(values, targets, inverse):
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        centred = block - (probabilities * block).sum(axis=1, keepdims=True)
        curvature += float((probabilities * centred**2).sum())
        squares += float((derivatives**2).sum())
    return math.sqrt(squares) / (curvature * inverse) if curvature else math.nan


def cross_fit(
    logits: Any, labels: Any, *, seed: int = 0
) -> tuple[Floats, tuple[FittedTemperature, ...]]:
    """Scale each half of the images by the temperature fitted on the other half.

    Return the scaled logits (n, classes), and the temperatures fitted on the first and second half.
    No image is scaled by a temperature fitted on it, and all n images are scaled, so that errors
    before and after scaling refer to the same images. The split into halves is seeded. Arguments
    and errors are as in `fit_temperature`; at least two images are needed.

    >>> scaled, halves = cross_fit([[9.0, 0.0]] * 3 + [[0.0, 9.0]], [0, 0, 0, 0])
    >>> scaled.shape, any(half.at_bound for half in halves)
    ((4, 2), True)
    """
    values, targets = logits_and_targets(logits, labels)
    if len(values) < 2:
        raise InputError("there is 1 image; fitting a temperature on one half needs at least 2")
    order = np.random.default_rng(seed).permutation(len(values))
    halves = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    first, second = (fit_temperature(values[half], targets[half]) for half in halves)
    temperatures = np.empty((len(values), 1))
    temperatures[halves[0]], temperatures[halves[1]] = second.value, first.value
    return values / temperatures, (first, second)
