"""How large many noisy means are without their noise, all together: empirical Bayes.

Noise makes |mean| larger where the truth is near 0 and hardly where it is far away. What it adds
cannot be known of one mean, but of many: how they are spread tells how the truths are spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from sdd_eval.statistics.bootstrap import Floats, WeightedStatistic, Weights

#: Points of the grid that the truths, in units of their noise, are spread over.
POINTS = 241
#: Steps of expectation and maximisation.
STEPS = 200


def sum_of_absolute_means(means: ArrayLike, deviations: ArrayLike) -> float:
    """An estimate of Σ |truth| from means (m,) = truth + normal noise of these deviations (m,).

    The sum of what is expected of each |truth| given its mean, where the truths in units of their
    noise are spread as makes the means likeliest (Kiefer and Wolfowitz 1956; Jiang and Zhang 2009,
    "General maximum likelihood empirical Bayes estimation of normal means"), those with much noise
    counted more, as they are in the sum. A mean without noise counts as it is.
    Where all truths are 0 a quarter of what noise adds is left.

    >>> noisy = np.random.default_rng(0).normal(1.0, 1.0, 1000)
    >>> round(sum_of_absolute_means(noisy, np.ones(1000)), -2), float(np.abs(noisy).sum().round(-2))
    (1000.0, 1100.0)
    """
    values, noise = np.ravel(means).astype(np.float64), np.ravel(deviations)
    sure = noise <= 0
    known = float(np.abs(values[sure]).sum())
    if sure.all():
        return known
    values, noise = values[~sure], noise[~sure]
    ratios = values / noise
    reach = max(6.0, float(np.abs(ratios).max()) + 0.5)
    grid = np.linspace(-reach, reach, POINTS)
    likelihood = np.exp(-((ratios[:, None] - grid) ** 2) / 2)
    weights, spread = noise / noise.sum(), np.full(POINTS, 1 / POINTS)
    for _ in range(STEPS):
        spread = spread * (weights / (likelihood @ spread) @ likelihood)
    expected = (likelihood @ (spread * np.abs(grid))) / (likelihood @ spread)
    return known + float(noise @ expected)


def debiased_absolute(means: Floats, deviations: Floats) -> Floats:
    """2 |mean| − E|mean + noise|: |mean| less what so much noise adds to it, element by element.

    Source: Kumar, Liang, Ma (2019), "Verified uncertainty calibration".

    >>> debiased_absolute(np.array([3.0, 0.0]), np.array([0.0, 1.0])).round(4).tolist()
    [3.0, -0.7979]
    """
    noise = np.maximum(deviations, np.finfo(np.float64).tiny)
    ratio = np.minimum(np.abs(means) / noise, 40.0)  # beyond, nothing is added
    absolute = np.abs(means)
    added = noise * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + absolute * erf(
        ratio / np.sqrt(2)
    )
    found: Floats = 2 * absolute - added
    return found


#: Columns of so many bins altogether are summed by one matrix product: n times so many float32.
TOGETHER = 64


def weighted_binned_ece(
    residuals: ArrayLike, index: NDArray[np.int64], bins: int, noise: Floats | None = None
) -> WeightedStatistic:
    """The quantity Σ over bins of |weighted sum of the residuals in it| / sum of the weights.

    With residuals correct − confidence that is ECE. `residuals` and `index`, the bin from 0 of
    each, are (n, columns); the quantity maps weights (k, n) to (k, columns). Every column of an
    image is drawn together with it. Sums are formed in float32: right to about 1e-6.

    With `noise`, the standard deviation (columns, bins) of such a sum of n images over n, it maps
    to (k, columns, 2): the same, and less what so much noise adds to it.

    >>> error = weighted_binned_ece([[0.5], [-0.25]], np.array([[0], [1]]), 2)
    >>> error(np.array([[1, 1], [2, 0]], dtype=np.float32)).tolist()
    [[0.375], [0.5]]
    """
    values = np.asarray(residuals, dtype=np.float32)
    images, columns = values.shape
    step = max(1, TOGETHER // bins)

    def error(weights: Weights) -> Floats:
        found = np.empty((len(weights), columns, 1 if noise is None else 2))
        totals = weights.sum(axis=1, dtype=np.float64)[:, None, None]
        for first in range(0, columns, step):
            part = slice(first, min(first + step, columns))
            apart = np.zeros((images, part.stop - first, bins), dtype=np.float32)
            np.put_along_axis(apart, index[:, part, None], values[:, part, None], axis=2)
            sums = (weights @ apart.reshape(images, -1)).reshape(len(weights), -1, bins) / totals
            found[:, part, 0] = np.abs(sums).sum(axis=2)
            if noise is not None:
                found[:, part, 1] = debiased_absolute(sums, noise[part]).sum(axis=2)
        return found[..., 0] if noise is None else found

    return error
