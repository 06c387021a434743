"""Classwise ECE: the mean over classes of the calibration error of each class's probability.

Source: Kull et al. (2019), "Beyond temperature scaling".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats, LogitMatrix, logits_and_targets, probability_blocks
from sdd_eval.metrics.calibration import METHOD, bin_index, check_bins, ece_of_bins
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.share import Bounds
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic


def classwise_ece(logits: Any, labels: Any, bins: int = 10) -> float:
    """Return the classwise ECE: the mean over classes of each class's ECE.

    The ECE of a class compares its softmax probability with the indicator that it is the label,
    over all n images in equal-width bins. Classes without images count like the others. Raise
    InputError for logits (n, classes) that are NaN or infinite, labels (n,) that do not match, or
    fewer than one bin.

    >>> classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 0])
    0.5
    """
    return float(ece_of_bins(classwise_sums(logits, labels, bins)))


def classwise_sums(logits: Any, labels: Any, bins: int = 10) -> binned.Bins:
    """Return the sums of each class's probabilities over each of its bins (classes · M,).

    An image counts once for each class, and as correct for the class of its label. Errors are as in
    `classwise_ece`.

    >>> classwise_sums([[0.0, 0.0]], [0], bins=2).correct
    array([1., 0., 0., 0.])
    """
    values, targets = logits_and_targets(logits, labels)
    size = values.shape[1] * check_bins(bins)
    count, confidence, right = np.zeros(size), np.zeros(size), np.zeros(size)
    for rows, block, cells in _blocks(values, bins):
        target_cells = np.take_along_axis(cells, targets[rows, None], axis=1)[:, 0]
        count += np.bincount(cells.ravel(), minlength=size)
        confidence += np.bincount(cells.ravel(), block.ravel(), minlength=size)
        right += np.bincount(target_cells, minlength=size)
    return binned.Bins(count, confidence, right)


def classwise_residuals(logits: Any, labels: Any, bins: int = 10) -> Any:
    """Return probability − [label] for each class in its bin, sparse float32 (n, classes · bins).

    The classwise ECE is the sum of the absolute column sums divided by images times classes.

    >>> classwise_residuals([[0.0, 0.0]], [1], bins=2).toarray().tolist()
    [[0.5, 0.0, -0.5, 0.0]]
    """
    from scipy.sparse import csr_matrix

    values, targets = logits_and_targets(logits, labels)
    images, classes = values.shape
    residuals = np.empty(values.shape, dtype=np.float32)
    columns = np.empty(values.shape, dtype=np.int64)
    for rows, block, cells in _blocks(values, check_bins(bins)):
        residuals[rows], columns[rows] = block, cells
    residuals[np.arange(images), targets] -= 1
    row_ends = np.arange(0, residuals.size + 1, classes)
    shape = (images, classes * bins)
    return csr_matrix((residuals.ravel(), columns.ravel(), row_ends), shape=shape)


def _blocks(values: LogitMatrix, bins: int) -> Iterator[tuple[slice, Floats, NDArray[np.int64]]]:
    """Yield blocks of rows: slice, probabilities, and the bin of each among all classes' bins."""
    for rows, block in probability_blocks(values):
        yield rows, block, np.arange(values.shape[1]) * bins + bin_index(block, bins)


def classwise_error(quantity: Quantity, logits: Any, labels: Any, bins: int) -> Statistic:
    """Return the classwise ECE as a statistic; arguments and errors are as in `classwise_ece`.

    The bins of different classes hold the same images and, with many classes, few labels. The lower
    end is therefore capped at the cross-fitted one. Without this cap, 95 % intervals covered .91 of
    samples with two classes, and .65 with 100 classes and 1,000 images, over-confident by half.
    """
    images, classes = np.shape(logits)
    total, of_bins = images * classes, classwise_sums(logits, labels, bins)
    residuals = functools.cache(lambda: classwise_residuals(logits, labels, bins))

    def finish(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums).sum(axis=1)[:, None] / total)

    def bounds(level: float) -> list[Bounds]:
        ends = binned.ece(of_bins, level)
        if ends.low == 0:
            return [ends]
        low = min(ends.low, binned.cross_fitted_end(residuals(), level) / classes)
        return [ends._replace(low=low, centre=ends.centre if low > 0 else 0.0)]

    def influence() -> Floats:
        signs = np.sign(np.asarray(residuals().sum(axis=0)).T)
        return np.asarray(residuals() @ signs, dtype=np.float64)

    return Statistic(
        quantities=(quantity,),
        values=ece_of_bins(of_bins)[None],
        make_sums=lambda: SumStatistic(residuals(), finish, images),
        bounds=bounds,
        method=f"{METHOD}; the lower end at most the cross-fitted one",
        influence=influence,
    )
