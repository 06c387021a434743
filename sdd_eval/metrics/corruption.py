"""Names of common corruptions, and statistics under corruption: ECE of cells, errors in percent.

An image is always resampled together with all its renderings, which are not independent.

Source: Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import METHOD, bin_index, bin_sums, ece_of_bins
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.binned_cells import Cells, mean_ece
from sdd_eval.statistics.closed_form.share import Bounds, ratio_bounds, score_bounds
from sdd_eval.statistics.statistic import Ends, Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: The benchmark's corruptions, in the order of tables: noise, blur, weather, digital.
FIFTEEN = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
#: The additional corruptions of the published archives.
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
NINETEEN = (*FIFTEEN, *EXTRA)
SEVERITIES = (1, 2, 3, 4, 5)

#: The relative corruption error is undefined if corruption raises the baseline's error by less than
#: this, averaged over severities, because the denominator would be too close to 0.
LEAST_LOSS = 0.01
#: Relative rounding error of a difference of error rates.
ROUNDING = 1e-9

#: How images are resampled for the interval of a number over several cells.
TOGETHER = "an image drawn with all its renderings"
#: Method used for the interval of a mean ECE over cells.
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
    """Return ECEs of cells, and means of the ECEs over several cells.

    `groups` holds, for each number, the columns of the cells that it averages; `confidence`, the
    largest softmax probabilities, and `correct`, whether each prediction is correct, are (n,
    cells).

    >>> quantity = Quantity("ece", "fraction", {"corruption": "fog", "severity": 1}, "")
    >>> cell_calibration_errors([quantity], [[0]], [[0.75], [0.75]], [[True], [False]], 10).values
    array([0.25])
    """
    confidences = np.asarray(confidence, dtype=np.float64)
    flags = np.asarray(correct, dtype=bool)
    of_cells = [bin_sums(*columns, bins) for columns in zip(confidences.T, flags.T, strict=True)]
    errors = np.array([float(ece_of_bins(of_cell)) for of_cell in of_cells])
    index = bin_index(confidences.ravel(), bins).reshape(confidences.shape)
    cells = Cells(flags, flags - confidences, index, bins)
    averaging = np.zeros((len(of_cells), len(groups)))
    for column, over in enumerate(groups):
        averaging[list(over), column] = 1 / len(over)

    def bounds(level: float) -> list[Bounds]:
        return [
            mean_ece(cells, over, level) if len(over) > 1 else binned.ece(of_cells[over[0]], level)
            for over in groups
        ]

    return Statistic(
        quantities=tuple(quantities),
        values=np.array([errors[list(over)].mean() for over in groups]),
        make_sums=lambda: _averaged_errors(cells, averaging),
        bounds=bounds,
        method=[OF_MEAN if len(over) > 1 else METHOD for over in groups],
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


#: Number of images per corruption that the baseline must misclassify for an interval of its error.
FEWEST_WRONG = 10
FEW_WRONG = f"the baseline has fewer than {FEWEST_WRONG} wrong images in a corruption"
NO_INCREASE = "corruption does not increase the baseline's error significantly"
#: In resamples, the relative CE is defined whenever the baseline's error increases at all.
MIN_INCREASE = 1e-9
OF_ERROR = (
    "score interval with variance proportional to the ratio, Poisson bound of few errors below, "
    f"{TOGETHER}"
)
OF_INCREASE = f"Fieller's interval of a mean of ratios, {TOGETHER}"


def corruption_errors(own: Floats, baseline: Floats, least: float = LEAST_LOSS) -> Floats:
    """Return CE and relative CE in percent (2, …, C), from error rates (…, 1 + C), clean first.

    The corruption error is 100 · Σ_s E_s / Σ_s E_s of the baseline, a ratio of sums over severities
    s, not a mean of ratios; the relative error replaces E_s by E_s − E_clean. They are NaN where
    the baseline makes no errors, or where its increase per severity is below `least`, up to
    rounding.

    >>> corruption_errors(np.array([0.1, 0.3, 0.3]), np.array([0.1, 0.5, 0.109])).round(1)
    array([[ 60. , 275.2],
           [ 50. ,   nan]])
    """
    of_both = [np.stack([e[..., 1:], e[..., 1:] - e[..., :1]]) for e in (own, baseline)]
    numerator, denominator = np.broadcast_arrays(*of_both)
    minima = np.reshape([0.0, least * (1 - ROUNDING)], (2,) + (1,) * own.ndim)
    ratios: Floats = np.full(numerator.shape, np.nan)
    np.divide(100 * numerator, denominator, out=ratios, where=denominator > minima)
    return ratios


@dataclass(frozen=True)
class ErrorRatio:
    """A mean over corruptions of errors or of error increases, in percent of a baseline's."""

    quantity: Quantity
    over: Sequence[int]
    """The corruptions, as columns from 0."""
    relative: bool
    """Whether to use the increase over the clean error."""


def error_ratios(
    ratios: Sequence[ErrorRatio], own: Floats, baseline: Floats, *, itself: bool = False
) -> Statistic:
    """Return errors in percent of a baseline's; all ratios must be defined.

    `own` and `baseline` are the clean error of each image, then its mean error in each corruption
    (n, 1 + corruptions). If the network is its own baseline, `itself`, every ratio is 100 %.
    """
    n = len(own)
    columns = np.concatenate([own, baseline], axis=1)

    def finish(sums: Floats) -> Floats:
        of_own, of_baseline = np.split(sums / n, 2, axis=1)
        errors = corruption_errors(of_own, of_baseline, MIN_INCREASE)
        rows = [errors[int(ratio.relative)][:, list(ratio.over)] for ratio in ratios]
        return np.stack([row.mean(axis=1) for row in rows], axis=1)

    values = finish(columns.sum(axis=0, keepdims=True))[0]
    influences = [_influence(ratio, own, baseline) for ratio in ratios]

    def bounds(level: float) -> list[Ends]:
        if itself:
            return [Bounds(value, value, value) for value in values.tolist()]
        rows, wrong = zip(ratios, values.tolist(), influences, strict=True), baseline.sum(axis=0)
        return [_ratio_ends(*row, wrong, level) for row in rows]

    return Statistic(
        quantities=tuple(ratio.quantity for ratio in ratios),
        values=values,
        make_sums=lambda: SumStatistic(columns.astype(np.float32), finish, n),
        bounds=bounds,
        method=[OF_INCREASE if ratio.relative else OF_ERROR for ratio in ratios],
        lowest=-math.inf,
        highest=math.inf,
        influence=lambda: np.stack([of_images for of_images, _, _ in influences], axis=1),
    )


def _influence(ratio: ErrorRatio, own: Floats, baseline: Floats) -> tuple[Floats, Floats, float]:
    """Return each image's influence on a mean of ratios in percent (n,), by the delta method.

    Also return the influence on the denominators, relative to them (n,), and the influence on the
    mean of an image that is wrong under every corruption.
    """
    over = [column + 1 for column in ratio.over]
    numerator, denominator = (
        side[:, over] - side[:, :1] * ratio.relative for side in (own, baseline)
    )
    size = denominator.mean(axis=0)
    ratios = numerator.mean(axis=0) / size
    of_images = 100 * ((numerator - ratios * denominator) / size).mean(axis=1)
    return of_images, (denominator / size - 1).mean(axis=1), 100 * float((1 / size).mean())


def _ratio_ends(
    ratio: ErrorRatio,
    value: float,
    influence: tuple[Floats, Floats, float],
    wrong: Floats,
    level: float,
) -> Ends:
    """Return the interval of a mean of ratios, or the reason why there is none.

    `wrong` is the number of images that the baseline misclassifies, clean and under each
    corruption.
    """
    of_images, of_denominators, pseudo = influence
    if ratio.relative:
        return ratio_bounds(value, of_images, of_denominators, pseudo, level) or NO_INCREASE
    if min(wrong[column + 1] for column in ratio.over) < FEWEST_WRONG - 1e-9:
        return FEW_WRONG
    return score_bounds(value, of_images, pseudo, level)
