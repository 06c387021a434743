"""The calibration error of cells and its means over them, with intervals that hold for many cells.

Chance adds to the ECE of every cell, and the mean over cells has that whole, while it varies less
than each of them. The basic bootstrap takes off what chance adds to a network that is as far off
as this one looks: too much, where the bins' gaps are about as large as chance. That is small beside
one cell's interval and large beside a mean's, which in simulations held the truth 65 to 87 % of the
time. So a mean's interval lies about what empirical Bayes makes of all its bins' gaps, which misses
the truth by a tenth of the interval's width at most from 1.3 times the calibrated floor on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdd_eval.evaluators.corruption.cells import Cell, Cells, over_cells
from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.metrics.calibration import BinSums, bin_index, bin_sums, ece
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.empirical_bayes import sum_of_absolute_means, weighted_binned_ece
from sdd_eval.statistics.intervals import Interval

#: How the interval of a mean over cells is made.
TOGETHER = (
    "empirical Bayes estimate of the bins' gaps without chance, ± the quantiles of {resamples:,} "
    "seeded resamples of the images, debiased and about their mean"
)


@dataclass(frozen=True)
class ResampledEce:
    """The ECE of each cell; its bins' gaps × shares and their noise (bins,); and over resamples
    (resamples,) the ECE and what is left of it without that noise.

    An image is drawn with all its renderings.
    """

    values: Mapping[Cell, float]
    gaps: Mapping[Cell, Floats]
    noise: Mapping[Cell, Floats]
    drawn: Mapping[Cell, Floats]
    debiased: Mapping[Cell, Floats]
    intervals: Intervals

    def mean(self, over: Sequence[Cell]) -> tuple[float, Interval] | None:
        """The mean over some cells; None where one of them is missing."""
        if any(cell not in self.values for cell in over):
            return None
        value = float(np.mean([self.values[cell] for cell in over]))
        if len(over) == 1:
            return value, self.intervals.basic(value, self.drawn[over[0]])
        return value, self._of_mean(over)

    def _of_mean(self, over: Sequence[Cell]) -> Interval:
        """Where the mean would lie with so many images that chance adds nothing."""
        gaps, noise = (np.stack([each[cell] for cell in over]) for each in (self.gaps, self.noise))
        centre = sum_of_absolute_means(gaps, noise) / len(over)
        drawn = over_cells(self.debiased, over)
        # Of what is symmetric about the centre nothing is to be reflected, but the basic interval
        # of a number that was resampled about itself is just this.
        found = self.intervals.basic(centre, drawn - drawn.mean() + centre)
        how = TOGETHER.format(resamples=len(drawn))
        return Interval(found.low, found.high, found.level, how)


def resampled_ece(cells: Cells, bins: int, intervals: Intervals) -> ResampledEce:
    """The ECE with equal-width bins of each cell."""
    places = cells.corrupted
    sure = np.stack([cells.confidence[cell] for cell in places], axis=1).astype(np.float64)
    right = np.stack([cells.correct[cell] for cell in places], axis=1)
    index = bin_index(sure.ravel(), bins).reshape(sure.shape)
    held = [bin_sums(cells.confidence[cell], cells.correct[cell], bins) for cell in places]
    noise = np.stack([_noise(sums, cells.images) for sums in held])
    errors = weighted_binned_ece(right - sure, index, bins, noise)
    drawn = intervals.replicates(errors, cells.images, sure.size)
    return ResampledEce(
        {cell: ece(cells.confidence[cell], cells.correct[cell], bins) for cell in places},
        {cell: sums.share * sums.gap for cell, sums in zip(places, held, strict=True)},
        dict(zip(places, noise, strict=True)),
        dict(zip(places, drawn[..., 0].T, strict=True)),
        dict(zip(places, drawn[..., 1].T, strict=True)),
        intervals,
    )


def _noise(sums: BinSums, images: int) -> Floats:
    """The standard deviation of each bin's gap × share (bins,); 0 in an empty one.

    Of an accuracy with one image more that is right and one that is wrong: a bin whose few images
    are all right has noise.
    """
    accuracy = (sums.right + 1) / (sums.count + 2)
    found: Floats = np.sqrt(accuracy * (1 - accuracy) * sums.count) / images
    return found
