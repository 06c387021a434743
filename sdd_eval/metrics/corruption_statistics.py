"""Statistics under corruption: ECE of cells and their means, errors relative to a baseline's.

An image is always drawn with all its renderings, which are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import bin_index, bin_sums, ece_of_bins
from sdd_eval.metrics.calibration_statistics import METHOD as OF_CELL
from sdd_eval.metrics.calibration_statistics import filled
from sdd_eval.metrics.corruption import corruption_errors, relative_corruption_errors
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.binned_cells import Cells, mean_ece
from sdd_eval.statistics.closed_form.share import Bounds, around, ratio_bounds, score_bounds
from sdd_eval.statistics.statistic import Ends, Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: How images are drawn for the interval of a number of several cells.
TOGETHER = "an image drawn with all its renderings"
#: The method of the interval of a mean ECE over cells.
OF_MEAN = (
    "inverted consistency test of the bins of all cells below, normal interval about the plug-in "
    f"mean above, {TOGETHER}"
)


def cell_calibration_errors(
    quantities: Sequence[Quantity],
    groups: Sequence[Sequence[int]],
    confidence: Any,
    correct: Any,
    bins: int,
) -> Statistic:
    """Return ECEs of cells, and means of the ECEs of several cells.

    `groups` are the columns of the cells that each number is the mean of; `confidence`, the largest
    softmax probabilities, and `correct`, whether each prediction is right, are (n, cells).

    >>> quantity = Quantity("ece", "fraction", {"corruption": "fog", "severity": 1}, "")
    >>> cell_calibration_errors([quantity], [[0]], [[0.75], [0.75]], [[True], [False]], 10).values
    array([0.25])
    """
    confidences = np.asarray(confidence, dtype=np.float64)
    flags = np.asarray(correct, dtype=bool)
    sums = [bin_sums(*columns, bins) for columns in zip(confidences.T, flags.T, strict=True)]
    errors = np.array([float(ece_of_bins(of_cell)) for of_cell in sums])
    index = bin_index(confidences.ravel(), bins).reshape(confidences.shape)
    cells = Cells(flags, flags - confidences, index, bins)
    averaging = np.zeros((len(errors), len(groups)))
    for column, over in enumerate(groups):
        averaging[list(over), column] = 1 / len(over)

    def bounds_of(over: Sequence[int], level: float) -> Ends:
        if len(over) > 1:
            return mean_ece(cells, over, level).around(float(errors[list(over)].mean()))
        return around(binned.ece(filled(sums[over[0]]), level), float(errors[over[0]]))

    return Statistic(
        quantities=tuple(quantities),
        values=np.array([errors[list(over)].mean() for over in groups]),
        make_sums=lambda: _averaged_errors(cells, averaging),
        bounds=lambda level: [bounds_of(over, level) for over in groups],
        method=[OF_MEAN if len(over) > 1 else OF_CELL for over in groups],
        influence=lambda: cells.influence @ averaging,
    )


def _averaged_errors(cells: Cells, averaging: Floats) -> SumStatistic:
    """Return averages (cells, rows) of the cells' ECEs as a function of sums over images."""
    n, number = cells.residuals.shape
    in_bins = np.zeros((n, number, cells.bins), dtype=np.float32)
    residuals = cells.residuals[:, :, None].astype(np.float32)
    np.put_along_axis(in_bins, cells.index[:, :, None], residuals, axis=2)

    def finish(sums: Floats) -> Floats:
        errors = np.abs(sums.reshape(len(sums), number, cells.bins)).sum(axis=2) / n
        averages: Floats = errors @ averaging
        return averages

    return SumStatistic(in_bins.reshape(n, -1), finish, n)


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
