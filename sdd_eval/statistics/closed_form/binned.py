"""Intervals of binned calibration errors.

The target is the population error over the same bins. The lower end inverts the consistency test
(Bröcker and Smith 2007; Vaicenavicius et al. 2019) along soft-thresholded gaps, so that 0 is in the
interval exactly if the test does not reject calibration. The upper end uses square-and-add over
bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.closed_form.share import Bounds, bisect, wilson
from sdd_eval.statistics.intervals import LEVEL, normal_quantile

#: Number of draws in the consistency test; as few as 200 with more than 200 bins.
DRAWS, DRAWN_VALUES = 1000, 200_000
#: The assumed gap of images that fall into bins that are empty in the sample.
UNSEEN_GAP = 0.5
#: Number of folds of the images, each of which takes the signs of the gaps from the others.
FOLDS = 5
#: Number of bisection steps along the soft threshold.
BISECTIONS = 12


def debiased_absolute(means: Floats, deviations: Floats) -> Floats:
    """Return 2 |mean| − E|mean + noise| elementwise: |mean| minus what the noise adds.

    Source: Kumar, Liang, Ma (2019), "Verified uncertainty calibration".

    >>> debiased_absolute(np.array([3.0, 0.0]), np.array([0.0, 1.0])).round(4).tolist()
    [3.0, -0.7979]
    """
    from scipy.special import erf  # imported here because scipy takes a second to load

    noise = np.maximum(deviations, np.finfo(np.float64).tiny)
    absolute = np.abs(means)
    ratio = np.minimum(absolute / noise, 40.0)  # beyond this, noise adds nothing
    density = noise * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    expected = density + absolute * erf(ratio / np.sqrt(2))
    debiased: Floats = 2 * absolute - expected
    return debiased


@dataclass(frozen=True)
class Bins:
    """Sums over the images of each bin (…, M): counts, confidences and correct predictions.

    Images may carry weights; leading axes hold several weightings. Means are 0 in empty bins.
    """

    count: Floats
    confidence: Floats
    correct: Floats

    @property
    def share(self) -> Floats:
        """The fraction of all images in each bin."""
        return np.asarray(self.count / self.count.sum(axis=-1, keepdims=True))

    def mean(self, sums: Floats) -> Floats:
        """Divide sums by the bins' counts; 0 in empty bins."""
        return np.divide(sums, self.count, out=np.zeros(sums.shape), where=self.count > 0)

    @property
    def mean_confidence(self) -> Floats:
        """Mean confidence of each bin."""
        return self.mean(self.confidence)

    @property
    def accuracy(self) -> Floats:
        """Accuracy of each bin."""
        return self.mean(self.correct)

    @property
    def gap(self) -> Floats:
        """Accuracy minus mean confidence of each bin."""
        return self.mean(self.correct - self.confidence)

    @property
    def spread(self) -> Floats:
        """Standard error of the accuracy of each bin, with two pseudo images."""
        smoothed = (self.correct + 1) / (self.count + 2)
        return np.sqrt(self.mean(smoothed * (1 - smoothed)))

    def debiased(self, spread: Floats) -> Floats:
        """Return the ECE (…) minus the mean that noise of this size adds to it, at least 0."""
        sizes = self.share * debiased_absolute(self.gap, spread)
        return np.asarray(np.maximum(0, sizes.sum(axis=-1)))

    @property
    def filled(self) -> Bins:
        """The bins (M,) that contain images."""
        used = self.count > 0
        return Bins(self.count[used], self.confidence[used], self.correct[used])


def ece(bins: Bins, level: float = LEVEL) -> Bounds:
    """Return the expected calibration error of bins (M,), with its interval and debiased value.

    >>> bins = Bins(np.array([100.0]), np.array([90.0]), np.array([50.0]))
    >>> [round(end, 2) for end in ece(bins)[:3]]
    [0.4, 0.3, 0.5]
    """
    filled = bins.filled
    value, low, high = _mean_power(filled, 1, level)
    centre = float(filled.debiased(filled.spread)) if low > 0 else 0.0
    return Bounds(value, low, min(1.0, high), centre)


def l2_error(bins: Bins, level: float = LEVEL) -> Bounds:
    """Return the root mean squared gap of bins (M,), with its interval.

    Like `ece`, but with squared gaps. If bins are empty, images of the population may still lie in
    them: at most a share of 1 − (1 − level)^(1/n), which is assigned a gap of one half.

    >>> bins = Bins(np.array([100.0]), np.array([90.0]), np.array([50.0]))
    >>> [round(end, 2) for end in l2_error(bins)[:3]]
    [0.4, 0.3, 0.5]
    """
    empty, images = bool((bins.count == 0).any()), float(bins.count.sum())
    unseen = (1 - (1 - level) ** (1 / images)) * UNSEEN_GAP**2 if empty else 0.0
    value, low, high = np.sqrt(_mean_power(bins.filled, 2, level, unseen)).tolist()
    return Bounds(value, low, min(1.0, high), value if low > 0 else 0.0)


def _mean_power(
    bins: Bins, power: int, level: float, unseen: float = 0.0
) -> tuple[float, float, float]:
    """Return the mean of |gap|ᵖ over images, and the ends of its interval.

    `unseen` is how much empty bins may add to the mean.
    """
    share, sizes = bins.share, np.abs(bins.gap) ** power
    value = float((share * sizes).sum())
    excess = max(float((share * sizes**2).sum()) - value**2, 0.0)
    # the bins' shares vary too
    moving = normal_quantile(level) ** 2 * excess / float(bins.count.sum())
    low = _lower_end(bins, power, level)
    if low > 0:
        low = max(0.0, value - math.sqrt((value - low) ** 2 + moving))
    ends = np.stack(wilson(bins.accuracy, bins.count, level))
    reach = np.abs(ends - bins.mean_confidence).max(axis=0) ** power - sizes
    reach_of_bins = float(((share * reach) ** 2).sum())
    return value, low, value + math.sqrt(reach_of_bins + moving + unseen**2)


def _lower_end(bins: Bins, power: int, level: float) -> float:
    """Return the smallest error that a consistency test does not reject; 0 if none is rejected."""
    count, share, confidence = bins.count.astype(np.int64), bins.share, bins.mean_confidence
    draws = max(min(200, DRAWS), min(DRAWS, DRAWN_VALUES // len(count)))
    observed = float((share * np.abs(bins.gap) ** power).sum())

    def accuracies(gaps: Floats) -> Floats:
        return np.clip(confidence + gaps, 0, 1)

    def drawn_errors(gaps: Floats) -> Floats:
        p, random = accuracies(gaps), np.random.default_rng(0)
        accuracy = random.binomial(count, p, (draws, len(count))) / count
        return np.asarray(np.abs(accuracy - confidence) ** power @ share)

    least = least_gaps(bins.gap, bins.spread, drawn_errors, observed - 1e-12, level)
    error = float((share * np.abs(accuracies(least) - confidence) ** power).sum())
    return min(error, observed) if least.any() else 0.0


def least_gaps(
    gaps: Floats,
    noise: Floats,
    drawn_errors: Callable[[Floats], Floats],
    observed: float,
    level: float,
) -> Floats:
    """Return gaps reduced by as many standard errors as a consistency test does not reject.

    All gaps are 0 if the test does not reject calibration. `noise` is the standard error of each
    gap, and `drawn_errors` returns errors of samples with given true gaps; these gaps are rejected
    if few of the errors reach the observed one.
    """

    def shrunk(threshold: float) -> Floats:
        sizes: Floats = np.maximum(np.abs(gaps) - threshold * noise, 0)
        return np.sign(gaps) * sizes

    def plausible(threshold: float) -> bool:
        drawn = drawn_errors(shrunk(threshold))
        return bool((drawn >= observed).sum() >= (1 - level) / 2 * len(drawn) - 1e-6)

    if plausible(math.inf):
        return np.zeros(gaps.shape)
    most = float((np.abs(gaps) / noise).max())
    return shrunk(bisect(-1.0, most, plausible, BISECTIONS))


def cross_fitted_end(residuals: Any, level: float = LEVEL) -> float:
    """Return a lower end for Σ |mean residual| over arbitrarily dependent and sparse bins.

    With signs that do not depend on an image, the signed sum of its residuals has a mean of at most
    Σ |mean residual|, so the normal lower end of this mean is also a lower end for the error. The
    signs of an image are those of the gaps in the other `FOLDS` − 1 folds of images (data
    splitting; Cox 1975, "A note on data-splitting for the evaluation of significance levels").

    `residuals` are those of each image in each bin (n, M), dense or sparse.

    >>> residuals = np.tile([[0.25, -0.25], [0.5, -0.5]], (50, 1))
    >>> round(cross_fitted_end(residuals), 3)
    0.701
    """
    n = residuals.shape[0]
    fold = np.arange(n) % FOLDS
    of_folds = np.stack(
        [np.asarray(residuals[fold == i].sum(axis=0)).ravel() for i in range(FOLDS)]
    )
    signs = np.sign(of_folds.sum(axis=0) - of_folds)
    signed = np.asarray(residuals @ signs.T)[np.arange(n), fold].astype(np.float64)
    half = normal_quantile(level) * float(signed.std()) / math.sqrt(n)
    return max(0.0, float(signed.mean()) - half)
