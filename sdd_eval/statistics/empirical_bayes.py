"""Sums of absolute values of noisy means, without what the noise adds: empirical Bayes.

Noise increases |mean| where the true mean is near 0, and hardly where it is large. The increase of
one mean is unknown, but the distribution of many means reveals that of the true means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.statistics.bootstrap import Floats, WeightedStatistic, Weights

#: Grid points of the distribution of true means, in units of their noise.
POINTS = 241
#: Iterations of expectation maximisation.
STEPS = 200
#: Bins of so many columns together are summed by one matrix product.
BINS_PER_PRODUCT = 64


def sum_of_absolute_means(means: ArrayLike, deviations: ArrayLike) -> float:
    """Return an estimate of Σ |true mean| from means with normal noise.

    It is the sum of the posterior expectations of |true mean| under the distribution of true means,
    in units of their noise, that maximises the likelihood; means (m,) are weighted by their noise,
    whose standard deviations are `deviations` (m,), as in the sum. Noiseless means count as they
    are. If all true means are 0, a quarter of what noise adds remains.

    Sources: Kiefer, Wolfowitz (1956), "Consistency of the maximum likelihood estimator in the
    presence of infinitely many incidental parameters"; Jiang, Zhang (2009), "General maximum
    likelihood empirical Bayes estimation of normal means".

    >>> noisy = np.random.default_rng(0).normal(1.0, 1.0, 1000)
    >>> round(sum_of_absolute_means(noisy, np.ones(1000)), -2), float(np.abs(noisy).sum().round(-2))
    (1000.0, 1100.0)
    """
    values, noise = np.ravel(means).astype(np.float64), np.ravel(deviations)
    noiseless = noise <= 0
    known = float(np.abs(values[noiseless]).sum())
    if noiseless.all():
        return known
    values, noise = values[~noiseless], noise[~noiseless]
    ratios = values / noise
    limit = max(6.0, float(np.abs(ratios).max()) + 0.5)
    grid = np.linspace(-limit, limit, POINTS)
    likelihood = np.exp(-((ratios[:, None] - grid) ** 2) / 2)
    weights, prior = noise / noise.sum(), np.full(POINTS, 1 / POINTS)
    for _ in range(STEPS):
        prior = prior * (weights / (likelihood @ prior) @ likelihood)
    expected = (likelihood @ (prior * np.abs(grid))) / (likelihood @ prior)
    return known + float(noise @ expected)


def debiased_absolute(means: Floats, deviations: Floats) -> Floats:
    """Return 2 |mean| − E|mean + noise| element by element: |mean| minus what the noise adds.

    Source: Kumar, Liang, Ma (2019), "Verified uncertainty calibration".

    >>> debiased_absolute(np.array([3.0, 0.0]), np.array([0.0, 1.0])).round(4).tolist()
    [3.0, -0.7979]
    """
    from scipy.special import erf  # imported here because scipy takes a second to load

    noise = np.maximum(deviations, np.finfo(np.float64).tiny)
    absolute = np.abs(means)
    ratio = np.minimum(absolute / noise, 40.0)  # beyond, noise adds nothing
    density = noise * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    expected = density + absolute * erf(ratio / np.sqrt(2))
    debiased: Floats = 2 * absolute - expected
    return debiased


def weighted_debiased_ece(
    residuals: ArrayLike, index: NDArray[np.int64], bins: int, noise: Floats
) -> WeightedStatistic:
    """Return the ECE of each column without what the noise adds, as a statistic.

    The ECE is Σ over bins of |weighted sum of residuals| / sum of weights. Sums are in float32,
    accurate to about 1e-6.

    `residuals` are correct − confidence (n, columns); an image's columns are resampled together.
    `index` is the bin, from 0, of each, and `noise` the standard deviation (columns, bins) of a
    bin's sum over n images, divided by n. Returns a function from weights (k, n) to (k, columns).

    >>> error = weighted_debiased_ece([[0.5], [-0.25]], np.array([[0], [1]]), 2, np.zeros((1, 2)))
    >>> error(np.array([[1, 1], [2, 0]], dtype=np.float32)).tolist()
    [[0.375], [0.5]]
    """
    values = np.asarray(residuals, dtype=np.float32)
    images, columns = values.shape
    step = max(1, BINS_PER_PRODUCT // bins)

    def error(weights: Weights) -> Floats:
        errors = np.empty((len(weights), columns))
        totals = weights.sum(axis=1, dtype=np.float64)[:, None, None]
        for start in range(0, columns, step):
            part = slice(start, min(start + step, columns))
            in_bins = np.zeros((images, part.stop - start, bins), dtype=np.float32)
            np.put_along_axis(in_bins, index[:, part, None], values[:, part, None], axis=2)
            sums = (weights @ in_bins.reshape(images, -1)).reshape(len(weights), -1, bins) / totals
            errors[:, part] = debiased_absolute(sums, noise[part]).sum(axis=2)
        return errors

    return error
