"""Interval of a mean of calibration errors over cells: renderings of the same images.

Chance increases the error of each cell. In the mean over many cells, this bias remains, while the
noise decreases to the extent that the cells are uncorrelated. The lower end inverts the consistency
test of `binned` for all bins of all cells at once, with noise drawn with the same correlation as
the images' residuals. The upper end is the plug-in mean plus its normal half-width; the lower end
is at least as far below the mean, unless calibration is not rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.closed_form.binned import debiased_absolute, least_gaps
from sdd_eval.statistics.closed_form.share import Bounds, mean_of_cells
from sdd_eval.statistics.intervals import LEVEL, normal_quantile

#: Number of draws of the noise of all bins.
DRAWS = 1000
#: Number of images whose residuals are multiplied by their weights at once.
BLOCK = 2048
#: If the residuals of a bin vary by less than this fraction of its noise, they are uninformative:
#: the noise is then drawn without them, identically in all cells.
DEGENERATE = 0.05


@dataclass(frozen=True)
class Cells:
    """Images in bins of cells: correct − confidence (n, cells), and zero-based bin indices."""

    correct: NDArray[np.bool_]
    residuals: Floats
    index: NDArray[np.int64]
    bins: int

    @cached_property
    def count(self) -> Floats:
        """Number of images (cells, bins)."""
        return self._sums(np.ones_like(self.residuals))

    @cached_property
    def gap(self) -> Floats:
        """Accuracy minus mean confidence (cells, bins); 0 in an empty bin."""
        return self._sums(self.residuals) / np.maximum(self.count, 1)

    @cached_property
    def shares(self) -> Floats:
        """Gap times share of the images (cells, bins); a cell's ECE is the sum of their sizes."""
        return self.gap * self.count / len(self.residuals)

    @cached_property
    def noise(self) -> Floats:
        """The standard deviation of `shares` (cells, bins), with two pseudo images in each bin.

        A bin with a few images that are all correct has noise, but an empty one has none.
        """
        accuracy = (self._sums(self.correct) + 1) / (self.count + 2)
        noise: Floats = np.sqrt(accuracy * (1 - accuracy) * self.count) / len(self.residuals)
        return noise

    @cached_property
    def influence(self) -> Floats:
        """Each image's influence on the ECE of each cell (n, cells)."""
        return np.sign(self._of_images(self.gap)) * self.residuals

    @cached_property
    def draws(self) -> NDArray[np.float32]:
        """Normal noise of `shares` (draws, cells, bins), with the correlation of the residuals.

        It is the sum of the images' residuals, minus the mean of their bin, with normal weights
        (the multiplier bootstrap), scaled to `noise`. The noise of a cell does not depend on the
        other cells.
        """
        random = np.random.default_rng(0)
        alone = random.standard_normal((DRAWS, self.bins), dtype=np.float32)
        deviations = (self.residuals - self._of_images(self.gap)).astype(np.float32)
        n, cells = deviations.shape
        drawn = np.zeros((cells, DRAWS, self.bins), dtype=np.float32)
        for start in range(0, n, BLOCK):
            images = np.arange(start, min(start + BLOCK, n))
            weights = random.standard_normal((DRAWS, len(images)), dtype=np.float32)
            for cell in range(cells):
                in_bins = np.zeros((len(images), self.bins), dtype=np.float32)
                in_bins[images - start, self.index[images, cell]] = deviations[images, cell]
                drawn[cell] += weights @ in_bins
        spread = np.sqrt(self._sums(deviations.astype(np.float64) ** 2)) / n
        scale = self.noise / np.where(spread > 0, spread, 1)
        drawn *= (scale / n).astype(np.float32)[:, None]
        degenerate = (spread < DEGENERATE * self.noise)[:, None]
        drawn = np.where(degenerate, alone * self.noise[:, None].astype(np.float32), drawn)
        draws: NDArray[np.float32] = drawn.transpose(1, 0, 2)
        return draws

    def _sums(self, values: NDArray[np.generic]) -> Floats:
        """Return the sums (cells, bins) of values (n, cells)."""
        cells = self.index.shape[1]
        columns = (self.index + np.arange(cells) * self.bins).ravel()
        sums = np.bincount(columns, weights=values.ravel(), minlength=cells * self.bins)
        return sums.reshape(cells, self.bins).astype(np.float64, copy=False)

    def _of_images(self, values: Floats) -> Floats:
        """Look up values (cells, bins) for the bin of each image (n, cells)."""
        return values[np.arange(values.shape[0]), self.index]


def mean_ece(cells: Cells, over: Sequence[int], level: float = LEVEL) -> Bounds:
    """Return the mean of the ECEs of several cells, with its interval and debiased value.

    If few images are wrong, residuals hardly vary. The amount by which the interval of the mean
    accuracy exceeds its standard error is therefore added to the half-width, as a variance.

    >>> right = np.arange(400).reshape(200, 2) % 8 > 1
    >>> cells = Cells(right, right - 0.95, np.full((200, 2), 9), 10)
    >>> [round(end, 2) for end in mean_ece(cells, [0, 1])[:3]]
    [0.2, 0.13, 0.26]
    """
    columns = list(over)
    n, z = len(cells.residuals), normal_quantile(level)
    value = float(np.abs(cells.shares[columns]).sum()) / len(columns)
    unseen = _unseen_variance(1 - cells.correct[:, columns].mean(axis=1), level)
    influence = cells.influence[:, columns].mean(axis=1)
    half_width = math.sqrt(z**2 * float(influence.var()) / n + unseen)
    high = value + half_width
    low = _lower_end(cells, columns, level)
    if low == 0:
        return Bounds(value, 0.0, min(1.0, high), 0.0)
    sizes = np.abs(cells.gap)[columns, cells.index[:, columns]].mean(axis=1)
    moving = z**2 * float(sizes.var()) / n  # the bins' shares vary too
    below = math.sqrt((value - low) ** 2 + moving + unseen)
    low = max(0.0, value - max(below, half_width))
    debiased = debiased_absolute(cells.shares[columns], cells.noise[columns]).sum() / len(columns)
    return Bounds(value, low, min(1.0, high), max(0.0, float(debiased)))


def _lower_end(cells: Cells, columns: list[int], level: float) -> float:
    """Return the smallest mean error that a consistency test does not reject; 0 if none."""
    noise, shares = cells.noise[columns], cells.shares[columns]
    used = noise > 0
    draws, observed = cells.draws[:, columns][:, used], float(np.abs(shares[used]).sum())

    def drawn_errors(gaps: Floats) -> Floats:
        return np.asarray(np.abs(draws + gaps.astype(np.float32)).sum(axis=1))

    least = least_gaps(shares[used], noise[used], drawn_errors, observed - 1e-6, level)
    return min(float(np.abs(least).sum()), observed) / len(columns)


def _unseen_variance(wrong: Floats, level: float) -> float:
    """Return the squared amount by which an accuracy's interval exceeds its standard error."""
    accuracy = mean_of_cells(wrong, level)
    reach = max(accuracy.value - accuracy.low, accuracy.high - accuracy.value)
    return max(0.0, reach**2 - normal_quantile(level) ** 2 * float(wrong.var()) / len(wrong))
