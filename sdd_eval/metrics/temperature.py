"""Temperature scaling: the one number by which logits are divided to fit the labels best.

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
from sdd_eval.metrics.arrays import Floats, LogitMatrix, class_indices, float64_blocks, logit_matrix

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature, and whether it is a bound of the range rather than a minimum within.

    `error` is the standard error of log T over new images, NaN where there is no minimum.
    """

    value: float
    at_bound: bool
    error: float = math.nan


@dataclass(frozen=True)
class CrossFitted:
    """Logits (n, classes) scaled in two halves, and the temperature fitted on each half.

    `first` was fitted on the first half and scales the second, and the other way round.
    """

    logits: Floats
    first: FittedTemperature
    second: FittedTemperature


def fit_temperature(logits: Any, labels: Any) -> FittedTemperature:
    """The T in [0.05, 20] with the least negative log-likelihood, in float64.

    The likelihood is convex in 1/T, so the zero of its slope, Σ_j p_j z_j − z_y on average, is
    the minimum. Where every T fits alike, as with equal logits, T is 1.

    Raises:
        InputError: NaN or infinity among the logits, or labels that do not fit them.

    >>> always_2_to_1 = [[0.0, 0.0]] * 2 + [[9.0, 0.0]] * 3
    >>> fitted = fit_temperature(always_2_to_1, [0, 1, 0, 0, 1])
    >>> round(fitted.value, 3), fitted.at_bound  # 9 / T = log 2
    (12.984, False)
    """
    from scipy.optimize import brentq

    values = logit_matrix(logits)
    truth = class_indices(labels, images=len(values), classes=values.shape[1])

    def slope(inverse: float) -> float:
        slopes = (each for each, _, _ in _slopes(values, truth, inverse))
        return sum(float(each.sum()) for each in slopes) / len(values)

    at_highest, at_lowest = slope(1 / MAX_TEMPERATURE), slope(1 / MIN_TEMPERATURE)
    if at_highest == at_lowest == 0:
        return FittedTemperature(1.0, at_bound=False)
    if at_highest >= 0:
        return FittedTemperature(MAX_TEMPERATURE, at_bound=True)
    if at_lowest <= 0:
        return FittedTemperature(MIN_TEMPERATURE, at_bound=True)
    inverse = brentq(slope, 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, xtol=1e-10)
    return FittedTemperature(1 / inverse, False, _error_of_log(values, truth, inverse))


def _slopes(
    values: LogitMatrix, truth: NDArray[np.int64], inverse: float
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Block by block each loss's slope by 1/T, Σ p_j z_j − z_y, with p before its sum, and z."""
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        weight = np.exp(block * inverse)
        own = np.take_along_axis(block, truth[rows, None], axis=1)[:, 0]
        expected = (weight * block).sum(axis=1) / weight.sum(axis=1)
        yield expected - own, weight, block


def _error_of_log(values: LogitMatrix, truth: NDArray[np.int64], inverse: float) -> float:
    """Standard error of log T at the minimum, however far from calibrated the network stays.

    It is that of 1/T over 1/T: the root of the slopes' squares, over the curvature Σ Var_p(z), the
    sandwich of White (1982), "Maximum likelihood estimation of misspecified models".
    """
    squares = curvature = 0.0
    for slopes, weight, block in _slopes(values, truth, inverse):
        chance = weight / weight.sum(axis=1, keepdims=True)
        apart = block - (chance * block).sum(axis=1, keepdims=True)
        curvature += float((chance * apart**2).sum())
        squares += float((slopes**2).sum())
    return math.sqrt(squares) / (curvature * inverse) if curvature else math.nan


def cross_fit(logits: Any, labels: Any, *, seed: int = 0) -> CrossFitted:
    """Divide logits by a temperature that was fitted on other images: two halves, crosswise.

    The seed says which half an image is in. No image helps to fit the T that scales it, and all n
    images are scaled, so that errors before and after are of the same images.

    Raises:
        InputError: fewer than two images, NaN or infinity among the logits, or labels that do not
            fit them.

    >>> scaled = cross_fit([[9.0, 0.0]] * 3 + [[0.0, 9.0]], [0, 0, 0, 0])
    >>> scaled.logits.shape, scaled.first.at_bound or scaled.second.at_bound
    ((4, 2), True)
    """
    values = logit_matrix(logits)
    if len(values) < 2:
        raise InputError("there is 1 image; fitting on one half needs at least 2")
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    order = np.random.default_rng(seed).permutation(len(values))
    halves = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    first, second = (fit_temperature(values[half], truth[half]) for half in halves)
    divisor = np.empty((len(values), 1))
    divisor[halves[0]], divisor[halves[1]] = second.value, first.value
    return CrossFitted(values / divisor, first, second)
