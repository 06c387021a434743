"""Intervals of binned calibration errors.

The target is the error of the population over the same bins. The lower end inverts the consistency
test (Bröcker and Smith 2007; Vaicenavicius et al. 2019) along soft-thresholded gaps, so that 0 is
inside exactly where the test does not refute calibration. The upper end is square-and-add over
bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdd_eval.statistics.closed_form.share import Bounds, wilson
from sdd_eval.statistics.intervals import LEVEL, normal_quantile

Floats = NDArray[np.float64]

#: Draws of the consistency test; as few as 200 if there are more than 200 bins.
DRAWS, DRAWN_VALUES = 1000, 200_000
#: The assumed gap of images that lie in bins of which the sample has none.
UNSEEN_GAP = 0.5
#: Steps of bisection along the soft threshold.
BISECTIONS = 12


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


@dataclass(frozen=True)
class Bins:
    """Non-empty bins: number of images, sum of confidences, number of correct predictions (k,)."""

    count: Floats
    confidence: Floats
    correct: Floats

    @property
    def images(self) -> float:
        """Number of images in all bins."""
        return float(self.count.sum())

    @property
    def share(self) -> Floats:
        """Share of the images in each bin."""
        return self.count / self.images

    @property
    def mean_confidence(self) -> Floats:
        """Mean confidence of each bin."""
        return self.confidence / self.count

    @property
    def accuracy(self) -> Floats:
        """Accuracy of each bin."""
        return self.correct / self.count

    @cached_property
    def gap(self) -> Floats:
        """Accuracy less mean confidence of each bin."""
        return self.accuracy - self.mean_confidence

    @cached_property
    def spread(self) -> Floats:
        """Standard error of the accuracy of each bin, with two pseudo images."""
        smoothed = (self.correct + 1) / (self.count + 2)
        return np.sqrt(smoothed * (1 - smoothed) / self.count)

    @property
    def debiased(self) -> float:
        """The calibration error less the mean that noise adds to it (folded normal)."""
        return max(0.0, float((self.share * debiased_absolute(self.gap, self.spread)).sum()))


def ece(bins: Bins, level: float = LEVEL) -> Bounds:
    """Return the expected calibration error of bins, with its interval and debiased value.

    >>> bins = Bins(np.array([100.0]), np.array([90.0]), np.array([50.0]))
    >>> [round(end, 2) for end in ece(bins)[:3]]
    [0.4, 0.3, 0.5]
    """
    value, low, high = _mean_power(bins, 1, level)
    return Bounds(value, low, min(1.0, high), bins.debiased if low > 0 else 0.0)


def l2_error(bins: Bins, level: float = LEVEL, *, empty_bins: bool = False) -> Bounds:
    """Return the root mean squared gap of bins, with its interval.

    As `ece`, with squared gaps. If there are `empty_bins`, images of the population may lie in
    them: at most 1 − (1 − level)^(1/n) of all, which are given a gap of one half.

    >>> bins = Bins(np.array([100.0]), np.array([90.0]), np.array([50.0]))
    >>> [round(end, 2) for end in l2_error(bins)[:3]]
    [0.4, 0.3, 0.5]
    """
    unseen = (1 - (1 - level) ** (1 / bins.images)) * UNSEEN_GAP**2 if empty_bins else 0.0
    value, low, high = np.sqrt(_mean_power(bins, 2, level, unseen)).tolist()
    return Bounds(value, low, min(1.0, high), value if low > 0 else 0.0)


def _mean_power(
    bins: Bins, power: int, level: float, unseen: float = 0.0
) -> tuple[float, float, float]:
    """Return the mean of |gap|ᵖ over images, and the ends of its interval.

    `unseen` is what bins without images may add to the mean.
    """
    share, sizes = bins.share, np.abs(bins.gap) ** power
    value = float((share * sizes).sum())
    excess = max(float((share * sizes**2).sum()) - value**2, 0.0)
    moving = normal_quantile(level) ** 2 * excess / bins.images  # the bins' shares vary too
    low = _lower_end(bins, power, level)
    if low > 0:
        low = max(0.0, value - math.sqrt((value - low) ** 2 + moving))
    ends = np.stack(wilson(bins.accuracy, bins.count, level))
    reach = np.abs(ends - bins.mean_confidence).max(axis=0) ** power - sizes
    reach_of_bins = float(((share * reach) ** 2).sum())
    return value, low, value + math.sqrt(reach_of_bins + moving + unseen**2)


def _lower_end(bins: Bins, power: int, level: float) -> float:
    """Return the least error that a consistency test does not refute; 0 if none is refuted."""
    count, tail = bins.count.astype(np.int64), (1 - level) / 2
    draws = max(min(200, DRAWS), min(DRAWS, DRAWN_VALUES // len(count)))
    share, confidence = bins.share, bins.mean_confidence
    observed = float((share * np.abs(bins.gap) ** power).sum())

    def shrunk(threshold: float) -> Floats:
        """Return the accuracies of bins whose gaps are reduced by so many standard errors."""
        size = np.maximum(np.abs(bins.gap) - threshold * bins.spread, 0)
        clipped: Floats = np.clip(confidence + np.sign(bins.gap) * size, 0, 1)
        return clipped

    def plausible(threshold: float) -> bool:
        """Whether gaps reduced by so many standard errors may give the observed error."""
        p = shrunk(threshold)
        correct = np.random.default_rng(0).binomial(count, p, (draws, len(count)))
        drawn = np.abs(correct / count - confidence) ** power @ share
        return bool((drawn >= observed - 1e-12).sum() >= tail * draws - 1e-6)

    if plausible(math.inf):
        return 0.0
    inside, outside = -1.0, float((np.abs(bins.gap) / bins.spread).max())
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if plausible(middle) else (inside, middle)
    return min(float((share * np.abs(shrunk(inside) - confidence) ** power).sum()), observed)
