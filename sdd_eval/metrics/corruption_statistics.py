"""Statistics under corruption: ECE of cells and their means, errors relative to a baseline's.

Chance increases the ECE of each cell. The mean over cells has the same bias but less variance, so
that its interval is centred on an empirical Bayes estimate from all bins' gaps, whose bias is at
most a tenth of the width from 1.3 times the calibrated floor on. An image is always drawn with all
its renderings, which are not independent.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import BinSums, bin_index, bin_sums, ece_of_bins
from sdd_eval.metrics.calibration_statistics import METHOD as OF_CELL
from sdd_eval.metrics.calibration_statistics import filled
from sdd_eval.metrics.corruption import corruption_errors, relative_corruption_errors
from sdd_eval.statistics.bootstrap import bootstrap_replicates
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.share import (
    Bounds,
    around,
    mean_of_cells,
    ratio_bounds,
    score_bounds,
)
from sdd_eval.statistics.empirical_bayes import sum_of_absolute_means, weighted_debiased_ece
from sdd_eval.statistics.intervals import normal_quantile
from sdd_eval.statistics.statistic import Ends, Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: How images are drawn for the interval of a number of several cells.
TOGETHER = "an image drawn with all its renderings"
#: The method of the interval of a mean ECE over cells.
EMPIRICAL_BAYES = (
    "empirical Bayes estimate of the bins' gaps without chance, ± the quantiles of {resamples:,} "
    f"seeded resamples of the images, debiased and about their mean, {TOGETHER}"
)


@dataclass(frozen=True)
class _Cells:
    """Confidences and correctness of cells (n, cells), over equal-width bins."""

    confidence: Floats
    correct: NDArray[np.bool_]
    bins: int

    @functools.cached_property
    def residuals(self) -> Floats:
        """Correct − confidence (n, cells)."""
        return self.correct - self.confidence

    @functools.cached_property
    def index(self) -> NDArray[np.int64]:
        """The bin of each confidence (n, cells)."""
        return bin_index(self.confidence.ravel(), self.bins).reshape(self.confidence.shape)

    @functools.cached_property
    def sums(self) -> list[BinSums]:
        """The sums over the bins of each cell."""
        columns = zip(self.confidence.T, self.correct.T, strict=True)
        return [bin_sums(confidence, correct, self.bins) for confidence, correct in columns]

    @functools.cached_property
    def noise(self) -> Floats:
        """The standard deviation of each bin's gap × share (cells, bins); 0 in an empty bin.

        The accuracy is estimated with one more correct and one more wrong image, so that a bin with
        a few images that are all correct has noise.
        """
        count = np.stack([sums.count for sums in self.sums])
        accuracy = (np.stack([sums.right for sums in self.sums]) + 1) / (count + 2)
        noise: Floats = np.sqrt(accuracy * (1 - accuracy) * count) / len(self.correct)
        return noise

    @functools.cached_property
    def influence(self) -> Floats:
        """Each image's influence on the ECE of each cell (n, cells)."""
        signs = np.stack([np.sign(sums.gap) for sums in self.sums])
        cells = np.arange(signs.shape[0])
        return signs[cells, self.index] * self.residuals

    def sum_statistic(self, averaging: Floats) -> SumStatistic:
        """Return averages (cells, rows) of the cells' ECEs as a function of sums over images."""
        n, cells = self.confidence.shape
        in_bins = np.zeros((n, cells, self.bins), dtype=np.float32)
        residuals = self.residuals.astype(np.float32)
        np.put_along_axis(in_bins, self.index[:, :, None], residuals[:, :, None], axis=2)

        def finish(sums: Floats) -> Floats:
            errors = np.abs(sums.reshape(len(sums), cells, self.bins)).sum(axis=2) / n
            averages: Floats = errors @ averaging
            return averages

        return SumStatistic(in_bins.reshape(n, -1), finish, n)

    def debiased(self, resamples: int) -> Floats:
        """Return the ECE of each cell without noise in resamples of the images."""
        errors = weighted_debiased_ece(self.residuals, self.index, self.bins, self.noise)
        return bootstrap_replicates(errors, len(self.correct), resamples)

    def mean_bounds(self, over: Sequence[int], debiased: Floats, level: float) -> Bounds:
        """Return the mean ECE of several cells, with its interval without what chance adds.

        Where few images are wrong, the resamples hardly vary. What the interval of the mean
        accuracy extends beyond its standard error is therefore added, as a variance.
        """
        cells = list(over)
        value = float(np.mean([ece_of_bins(self.sums[cell]) for cell in cells]))
        gaps = np.stack([self.sums[cell].share * self.sums[cell].gap for cell in cells])
        centre = sum_of_absolute_means(gaps, self.noise[cells]) / len(cells)
        replicates = debiased[:, cells].mean(axis=1)
        below, above = np.quantile(
            replicates - replicates.mean(), [0.5 - level / 2, 0.5 + level / 2]
        ).tolist()
        wrong = 1 - self.correct[:, cells].mean(axis=1)
        unseen = _unseen_variance(wrong, level)
        low = centre - math.sqrt(above**2 + unseen)
        high = centre + math.sqrt(below**2 + unseen)
        return Bounds(value, max(0.0, min(low, value)), min(1.0, max(high, value)), centre)


def _unseen_variance(wrong: Floats, level: float) -> float:
    """Return the square of what an accuracy's interval exceeds its standard error by."""
    accuracy = mean_of_cells(wrong, level)
    reach = max(accuracy.value - accuracy.low, accuracy.high - accuracy.value)
    return max(0.0, reach**2 - normal_quantile(level) ** 2 * float(wrong.var()) / len(wrong))


def cell_calibration_errors(
    quantities: Sequence[Quantity],
    groups: Sequence[Sequence[int]],
    confidence: Any,
    correct: Any,
    bins: int,
    resamples: Callable[[float], int],
) -> Statistic:
    """Return ECEs of cells, and means of the ECEs of several cells.

    `groups` are the columns of the cells that each number is the mean of; `confidence`, the largest
    softmax probabilities, and `correct`, whether each prediction is right, are (n, cells).
    `resamples` returns the number of bootstrap resamples, given the values that one processes.

    >>> quantity = Quantity("ece", "fraction", {"corruption": "fog", "severity": 1}, "")
    >>> confidence, correct = [[0.75], [0.75]], [[True], [False]]
    >>> cell_calibration_errors([quantity], [[0]], confidence, correct, 10, lambda cost: 200).values
    array([0.25])
    """
    cells = _Cells(np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool), bins)
    errors = np.array([float(ece_of_bins(sums)) for sums in cells.sums])
    averaging = np.zeros((len(errors), len(groups)))
    for column, over in enumerate(groups):
        averaging[list(over), column] = 1 / len(over)
    count = resamples(cells.confidence.size)
    debiased = functools.cache(lambda: cells.debiased(count))

    def bounds_of(over: Sequence[int], level: float) -> Ends:
        if len(over) > 1:
            return cells.mean_bounds(over, debiased(), level)
        return around(binned.ece(filled(cells.sums[over[0]]), level), float(errors[over[0]]))

    of_mean = EMPIRICAL_BAYES.format(resamples=count)
    return Statistic(
        quantities=tuple(quantities),
        values=np.array([errors[list(over)].mean() for over in groups]),
        make_sums=lambda: cells.sum_statistic(averaging),
        bounds=lambda level: [bounds_of(over, level) for over in groups],
        method=[of_mean if len(over) > 1 else OF_CELL for over in groups],
        influence=lambda: cells.influence @ averaging,
    )


#: The interval of a corruption error needs so many wrong images of the baseline per corruption.
FEWEST_WRONG = 10
FEW_WRONG = f"the baseline has fewer than {FEWEST_WRONG} wrong images in a corruption"
NO_INCREASE = "corruption does not increase the baseline's error significantly"
#: In resamples, relative CE is defined wherever the baseline's error increases at all.
MIN_INCREASE = 1e-9
OF_ERROR = f"score interval with variance proportional to the ratio, {TOGETHER}"
OF_INCREASE = f"Fieller's interval of a mean of ratios, {TOGETHER}"


@dataclass(frozen=True)
class ErrorRatio:
    """A mean over corruptions of errors, or of their increases, in percent of a baseline's."""

    quantity: Quantity
    over: Sequence[int]
    """The corruptions, as columns from 0."""
    relative: bool
    """Whether of the increase over the clean error."""


def error_ratios(
    ratios: Sequence[ErrorRatio], own: Floats, baseline: Floats, *, itself: bool = False
) -> Statistic:
    """Return errors in percent of a baseline's; each ratio must be defined.

    `own` and `baseline` are the clean error of each image, then its mean error in each corruption
    (n, 1 + corruptions). If the network is its own baseline, `itself`, every ratio is 100 %.
    """
    n = len(own)
    columns = np.concatenate([own, baseline], axis=1).astype(np.float32)

    def finish(sums: Floats) -> Floats:
        errors, of_baseline = np.split(sums / n, 2, axis=1)
        absolute = corruption_errors(errors[:, 1:], of_baseline[:, 1:])
        relative = relative_corruption_errors(
            errors[:, 1:],
            errors[:, 0],
            of_baseline[:, 1:],
            of_baseline[:, 0],
            least=MIN_INCREASE,
        )
        rows = [(relative if r.relative else absolute)[:, list(r.over)] for r in ratios]
        return np.stack([row.mean(axis=1) for row in rows], axis=1)

    influences = [_Influence.of(ratio, own, baseline) for ratio in ratios]
    values = finish(np.concatenate([own, baseline], axis=1).sum(axis=0, keepdims=True))[0]

    def bounds(level: float) -> list[Ends]:
        pairs = list(zip(influences, values.tolist(), strict=True))
        if itself:
            return [Bounds(value, value, value) for _, value in pairs]
        return [influence.bounds(value, level) for influence, value in pairs]

    return Statistic(
        quantities=tuple(ratio.quantity for ratio in ratios),
        values=values,
        make_sums=lambda: SumStatistic(columns, finish, n),
        bounds=bounds,
        method=[OF_INCREASE if ratio.relative else OF_ERROR for ratio in ratios],
        lowest=-math.inf,
        highest=math.inf,
        influence=lambda: np.stack([influence.values for influence in influences], axis=1),
    )


@dataclass(frozen=True)
class _Influence:
    """The influence of each image on a mean of ratios in percent, by the delta method.

    `values` (n,) on the mean, `denominator` (n,) on the denominators, relative to them; `pseudo`
    that of one image that is wrong in every corruption; `wrong` the fewest wrong images of the
    baseline in a corruption.
    """

    relative: bool
    values: Floats
    denominator: Floats
    pseudo: float
    wrong: float

    @classmethod
    def of(cls, ratio: ErrorRatio, own: Floats, baseline: Floats) -> _Influence:
        """Return the influence of images on a ratio, from errors as in `error_ratios`."""
        over = [column + 1 for column in ratio.over]
        numerator, denominator = own[:, over], baseline[:, over]
        wrong = float(denominator.sum(axis=0).min())
        if ratio.relative:
            numerator, denominator = numerator - own[:, :1], denominator - baseline[:, :1]
        size = denominator.mean(axis=0)
        ratios = numerator.mean(axis=0) / size
        return cls(
            ratio.relative,
            100 * ((numerator - ratios * denominator) / size).mean(axis=1),
            (denominator / size - 1).mean(axis=1),
            100 * float((1 / size).mean()),
            wrong,
        )

    def bounds(self, value: float, level: float) -> Ends:
        """Return the interval of the mean of ratios, or why there is none."""
        if self.relative:
            ends = ratio_bounds(value, self.values, self.denominator, self.pseudo, level)
            return NO_INCREASE if ends is None else ends
        if self.wrong < FEWEST_WRONG - 1e-9:
            return FEW_WRONG
        return score_bounds(value, self.values, self.pseudo, level)
