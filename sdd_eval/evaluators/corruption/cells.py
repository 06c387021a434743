"""Accuracy and ECE of each cell, a corruption at a severity, and means over cells.

Chance increases the ECE of each cell. The mean over cells has the same bias but less variance, and
the basic bootstrap corrects the bias of a network whose bins deviate as much as observed, which is
too much if the bins' gaps are about as large as chance. That is small relative to one cell's
interval, but large relative to a mean's, whose basic interval covered the truth in 65 to 87 % of
simulations. The interval of a mean is therefore centred on an empirical Bayes estimate from all
bins' gaps, whose bias is at most a tenth of the width from 1.3 times the calibrated floor on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.metrics.calibration import BinSums, bin_index, bin_sums, ece
from sdd_eval.metrics.corruption import SEVERITIES
from sdd_eval.statistics.bootstrap import Floats, bootstrap_means
from sdd_eval.statistics.empirical_bayes import sum_of_absolute_means, weighted_binned_ece
from sdd_eval.statistics.intervals import Interval

#: Prefixes of array names.
CORRECT, CONFIDENCE, MISSING = "correct_", "confidence_", "missing_"
#: The suffix of the arrays of uncorrupted images.
CLEAN = "clean"

#: A corruption and a severity.
Cell = tuple[str, int]
UNCORRUPTED: Cell = (CLEAN, 0)


@dataclass(frozen=True)
class Cells:
    """Per-image values (n,) of each measured cell, and why others are missing."""

    correct: Mapping[Cell, NDArray[np.bool_]]
    confidence: Mapping[Cell, NDArray[np.float32]]
    missing: Mapping[Cell, str]

    @property
    def corrupted(self) -> list[Cell]:
        """The measured cells except the uncorrupted images."""
        return [cell for cell in self.correct if cell != UNCORRUPTED]

    @property
    def images(self) -> int:
        """The number of images of a cell."""
        return len(next(iter(self.correct.values())))


def cells_of(arrays: Mapping[str, NDArray[Any]]) -> Cells:
    """Return the cells in the arrays of `Corruption.collect`."""
    correct: dict[Cell, NDArray[np.bool_]] = {UNCORRUPTED: arrays[CORRECT + CLEAN]}
    confidence: dict[Cell, NDArray[np.float32]] = {UNCORRUPTED: arrays[CONFIDENCE + CLEAN]}
    missing: dict[Cell, str] = {}
    names = [name.removeprefix(CORRECT) for name in arrays if name.startswith(CORRECT)]
    for name in (name for name in names if name != CLEAN):
        reasons = arrays[MISSING + name][0] if MISSING + name in arrays else [""] * len(SEVERITIES)
        for index, severity in enumerate(SEVERITIES):
            if reasons[index]:
                missing[name, severity] = str(reasons[index])
            else:
                correct[name, severity] = arrays[CORRECT + name][:, index]
                confidence[name, severity] = arrays[CONFIDENCE + name][:, index]
    return Cells(correct, confidence, missing)


@dataclass(frozen=True)
class Resampled:
    """A number of each cell, and its values in resamples of the images (resamples,).

    A resampled image is drawn with all its corrupted versions, which are not independent.
    """

    values: Mapping[Cell, float]
    resamples: Mapping[Cell, Floats]
    intervals: Intervals

    def mean(self, over: Sequence[Cell]) -> tuple[float, Interval] | None:
        """Return the mean over some cells with its interval; None if a cell is missing."""
        if any(cell not in self.values for cell in over):
            return None
        value = float(np.mean([self.values[cell] for cell in over]))
        return value, self.intervals.basic(value, mean_over(self.resamples, over))


def resampled_accuracy(correct: Mapping[Cell, NDArray[Any]], intervals: Intervals) -> Resampled:
    """Return the accuracy of each cell from correctness, or its mean over networks, (n,)."""
    table = np.stack(list(correct.values()), axis=1)
    means = bootstrap_means(table, intervals.resamples)
    return Resampled(
        {cell: float(values.mean()) for cell, values in correct.items()},
        dict(zip(correct, means.T, strict=True)),
        intervals,
    )


def mean_over(resamples: Mapping[Cell, Floats], over: Sequence[Cell]) -> Floats:
    """Return the mean over some cells in each resample (resamples,)."""
    means: Floats = np.mean([resamples[cell] for cell in over], axis=0)
    return means


#: The method of the interval of a mean ECE over cells.
EMPIRICAL_BAYES = (
    "empirical Bayes estimate of the bins' gaps without chance, ± the quantiles of {resamples:,} "
    "seeded resamples of the images, debiased and about their mean"
)


@dataclass(frozen=True)
class ResampledEce:
    """The ECE of each cell, and what its intervals need.

    `gaps` and `noise` (bins,) are gap × share of each bin and its standard deviation; `resamples`
    and `debiased` (resamples,) the ECE in resamples, and without that noise. A resampled image is
    drawn with all its corrupted versions.
    """

    values: Mapping[Cell, float]
    gaps: Mapping[Cell, Floats]
    noise: Mapping[Cell, Floats]
    resamples: Mapping[Cell, Floats]
    debiased: Mapping[Cell, Floats]
    intervals: Intervals

    def mean(self, over: Sequence[Cell]) -> tuple[float, Interval] | None:
        """Return the mean over some cells with its interval; None if a cell is missing."""
        if any(cell not in self.values for cell in over):
            return None
        value = float(np.mean([self.values[cell] for cell in over]))
        if len(over) == 1:
            return value, self.intervals.basic(value, self.resamples[over[0]])
        return value, self._interval_of_mean(over)

    def _interval_of_mean(self, over: Sequence[Cell]) -> Interval:
        """Return the interval of the mean without the bias that chance adds."""
        gaps, noise = (np.stack([of[cell] for cell in over]) for of in (self.gaps, self.noise))
        centre = sum_of_absolute_means(gaps, noise) / len(over)
        debiased = mean_over(self.debiased, over)
        # The basic interval of values centred on the estimate is the interval of their quantiles.
        interval = self.intervals.basic(centre, debiased - debiased.mean() + centre)
        how = EMPIRICAL_BAYES.format(resamples=len(debiased))
        return Interval(interval.low, interval.high, interval.level, how)


def resampled_ece(cells: Cells, bins: int, intervals: Intervals) -> ResampledEce:
    """Return the ECE with equal-width bins of each cell."""
    names = cells.corrupted
    confidence = np.stack([cells.confidence[cell] for cell in names], axis=1).astype(np.float64)
    correct = np.stack([cells.correct[cell] for cell in names], axis=1)
    index = bin_index(confidence.ravel(), bins).reshape(confidence.shape)
    sums = [bin_sums(cells.confidence[cell], cells.correct[cell], bins) for cell in names]
    noise = np.stack([_noise(of_cell, cells.images) for of_cell in sums])
    errors = weighted_binned_ece(correct - confidence, index, bins, noise)
    resamples = intervals.replicates(errors, cells.images, confidence.size)
    return ResampledEce(
        {cell: ece(cells.confidence[cell], cells.correct[cell], bins) for cell in names},
        {cell: of_cell.share * of_cell.gap for cell, of_cell in zip(names, sums, strict=True)},
        dict(zip(names, noise, strict=True)),
        dict(zip(names, resamples[..., 0].T, strict=True)),
        dict(zip(names, resamples[..., 1].T, strict=True)),
        intervals,
    )


def _noise(sums: BinSums, images: int) -> Floats:
    """Return the standard deviation of each bin's gap × share (bins,); 0 in an empty bin.

    The accuracy is estimated with one more correct and one more wrong image, so that a bin with a
    few images that are all correct has noise.
    """
    accuracy = (sums.right + 1) / (sums.count + 2)
    noise: Floats = np.sqrt(accuracy * (1 - accuracy) * sums.count) / images
    return noise
