"""Calibration errors as statistics: value, interval and paired test of each from one definition.

The intervals are those of `statistics.closed_form.binned`: of the population's error over the same
bins. Columns hold residuals, accuracy less confidence, whose small sums are exact in float32.
Invalid arrays raise InputError as in `metrics.calibration`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats, class_indices, logit_matrix, probability_blocks
from sdd_eval.metrics.calibration import (
    BinSums,
    adaptive_ece,
    bin_index,
    bin_sums,
    check_bins,
    check_confidences,
    classwise_sums,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece_of_bins,
    equal_mass_sizes,
    mce_of_bins,
    tie_means,
)
from sdd_eval.metrics.smooth_ece import residuals_on_grid, smooth_ece, smooth_ece_of_grid
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.share import Bounds, around
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: Errors that are functions of the sums over equal-width bins.
EQUAL_WIDTH = {
    "ece": ece_of_bins,
    "mce": mce_of_bins,
    "ece_debiased": debiased_ece_of_bins,
    "ece_debiased_l2": debiased_l2_of_bins,
}
METHOD = "inverted consistency test below, square-and-add over bins above"
NO_MAXIMUM = "no method covers a maximum over bins"
NO_SMOOTH = "no method known covers the smooth ECE of accurate networks"
#: Grid cells of the smooth ECE in permutations; its kernel is wider than several of them.
GRID_CELLS = 512
#: Adaptive ECE counts images in cells of confidence, half of them equally spaced in log2(1 −
#: confidence) down to 2⁻³². A cell is cut like tied confidences, which changes the error of many
#: images by about 1e-4. Up to `FEW_IMAGES` finer cells avoid that two images share a cell.
CELLS_OF_MANY, CELLS_OF_FEW = 2048, 1 << 20
FEW_IMAGES = 4096


def equal_width_errors(
    quantities: Sequence[Quantity], confidence: Any, correct: Any, bins: int
) -> Statistic:
    """Return errors over equal-width bins; the quantities' metrics are keys of `EQUAL_WIDTH`.

    `confidence` is the largest softmax probability (n,), `correct` (n,) is as in `calibration.ece`.
    """
    metrics = [quantity.metric for quantity in quantities]
    sums = bin_sums(confidence, correct, bins)
    values = np.array([float(EQUAL_WIDTH[metric](sums)) for metric in metrics])
    residuals = np.asarray(correct, dtype=np.float64) - np.asarray(confidence, dtype=np.float64)

    def bounds(level: float) -> list[Bounds | str]:
        used = filled(sums)
        of_ece = binned.ece(used, level)
        of_l2 = binned.l2_error(used, level, empty_bins=len(used.count) < bins)
        known: dict[str, Bounds | str] = {"mce": NO_MAXIMUM, "ece_debiased_l2": of_l2}
        intervals = [known.get(metric, of_ece) for metric in metrics]
        return [around(one, value) for one, value in zip(intervals, values.tolist(), strict=True)]

    def influence() -> Floats:
        gaps = sums.gap[bin_index(np.asarray(confidence, dtype=np.float64), bins)]
        by_sign, by_gap = np.sign(gaps) * residuals, gaps * residuals
        columns = [by_gap if metric == "ece_debiased_l2" else by_sign for metric in metrics]
        return np.stack(columns, axis=1)

    return Statistic(
        quantities=tuple(quantities),
        values=values,
        make_sums=lambda: _equal_width_sums(confidence, correct, residuals, bins, metrics),
        bounds=bounds,
        method=METHOD,
        influence=influence,
    )


def filled(sums: BinSums) -> binned.Bins:
    """Return the bins that have images."""
    used = sums.count > 0
    return binned.Bins(sums.count[used], sums.confidence[used], sums.right[used])


def _equal_width_sums(
    confidence: Any, correct: Any, residuals: Floats, bins: int, metrics: Sequence[str]
) -> SumStatistic:
    n = len(residuals)
    columns = np.zeros((n, bins, 3), dtype=np.float32)
    terms = np.stack([np.ones(n), np.asarray(correct), residuals], axis=1)
    columns[np.arange(n), bin_index(np.asarray(confidence, dtype=np.float64), bins)] = terms

    def finish(sums: Floats) -> Floats:
        count, right, residual = np.moveaxis(sums.reshape(-1, bins, 3), -1, 0)
        of_bins = BinSums(count, right - residual, right)
        return np.stack([EQUAL_WIDTH[metric](of_bins) for metric in metrics], axis=-1)

    return SumStatistic(columns.reshape(n, -1), finish, n)


def adaptive_error(quantity: Quantity, confidence: Any, correct: Any, bins: int) -> Statistic:
    """Return the adaptive ECE."""
    confidences, flags = check_confidences(confidence, correct)
    value = adaptive_ece(confidences, flags, bins)

    def bounds(level: float) -> list[Bounds | str]:
        return [around(binned.ece(_equal_mass_bins(confidences, flags, bins), level), value)]

    def influence() -> Floats:
        of_bins = _equal_mass_bins(confidences, flags, bins)
        index = np.empty(len(flags), dtype=np.int64)
        index[np.argsort(confidences, kind="stable")] = np.repeat(
            np.arange(len(of_bins.count)), of_bins.count.astype(np.int64)
        )
        return (np.sign(of_bins.gap)[index] * (flags - confidences))[:, None]

    return Statistic(
        quantities=(quantity,),
        values=np.array([value]),
        make_sums=lambda: _adaptive_sums(confidences, flags, bins),
        bounds=bounds,
        method=METHOD,
        influence=influence,
    )


def _equal_mass_bins(confidence: Floats, correct: Floats, bins: int) -> binned.Bins:
    """Return the non-empty equal-mass bins; correct images are rounded where ties are cut."""
    order = np.argsort(confidence, kind="stable")
    ranked = confidence[order]
    sizes = np.array([size for size in equal_mass_sizes(len(ranked), bins) if size])
    starts = np.cumsum([0, *sizes[:-1]])
    right = np.add.reduceat(tie_means(ranked, correct[order]), starts)
    confidences: Floats = np.add.reduceat(ranked, starts)
    return binned.Bins(sizes.astype(np.float64), confidences, np.round(right).astype(np.float64))


def _adaptive_sums(confidence: Floats, correct: Floats, bins: int) -> SumStatistic:
    """Return the adaptive ECE; the columns are images and residuals by cell of confidence."""
    from scipy.sparse import csr_matrix

    n = len(confidence)
    cells = CELLS_OF_MANY if n > FEW_IMAGES else CELLS_OF_FEW
    cell = _cell_index(confidence, cells)
    values = np.stack([np.ones(n), correct - confidence], axis=1).astype(np.float32)
    columns = np.stack([cell, cell + cells], axis=1)
    row_ends = np.arange(0, 2 * n + 1, 2)
    matrix = csr_matrix((values.ravel(), columns.ravel(), row_ends), shape=(n, 2 * cells))
    edges = np.cumsum([0, *equal_mass_sizes(n, bins)])

    def finish(sums: Floats) -> Floats:
        by_cell = sums.reshape(len(sums), 2, -1)
        cumulative = np.zeros((len(sums), 2, by_cell.shape[2] + 1))
        np.cumsum(by_cell, axis=2, out=cumulative[:, :, 1:])
        at_edges = np.stack([np.interp(edges, counts, gaps) for counts, gaps in cumulative])
        errors: Floats = np.abs(np.diff(at_edges)).sum(axis=1)[:, None] / n
        return errors

    return SumStatistic(matrix, finish, n, packed=True)


def _cell_index(confidence: Floats, cells: int) -> NDArray[np.int64]:
    """Return the cell of each confidence, non-decreasing in it.

    >>> _cell_index(np.array([0.0, 0.5, 1.0]), 2048).tolist()
    [0, 544, 2047]
    """
    depth = np.minimum(-np.log2(np.maximum(1 - confidence, 2.0**-32)), 32) / 32
    return np.minimum((confidence + depth) / 2 * cells, cells - 1).astype(np.int64)


def classwise_error(quantity: Quantity, logits: Any, labels: Any, bins: int) -> Statistic:
    """Return the classwise ECE."""
    images, classes = np.shape(logits)
    total, of_bins = images * classes, classwise_sums(logits, labels, bins)
    residuals = functools.cache(lambda: classwise_residuals(logits, labels, bins))

    def finish(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums).sum(axis=1)[:, None] / total)

    def influence() -> Floats:
        signs = np.sign(np.asarray(residuals().sum(axis=0)).T)
        return np.asarray(residuals() @ signs, dtype=np.float64)

    return Statistic(
        quantities=(quantity,),
        values=ece_of_bins(of_bins)[None],
        make_sums=lambda: SumStatistic(residuals(), finish, images),
        bounds=lambda level: [binned.ece(filled(of_bins), level)],
        method=METHOD,
        influence=influence,
    )


def classwise_residuals(logits: Any, labels: Any, bins: int = 10) -> Any:
    """Return probability − [label] of each class in its bin, sparse float32 (n, classes · bins).

    The classwise ECE is the sum of the columns' absolute sums, over images times classes.

    >>> classwise_residuals([[0.0, 0.0]], [1], bins=2).toarray().tolist()
    [[0.5, 0.0, -0.5, 0.0]]
    """
    from scipy.sparse import csr_matrix

    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    targets = class_indices(labels, images=images, classes=classes)
    residuals = np.empty(values.shape, dtype=np.float32)
    for rows, block in probability_blocks(values):
        residuals[rows] = block
    columns = np.arange(classes) * bins + bin_index(residuals.astype(np.float64), bins)
    residuals[np.arange(images), targets] -= 1
    row_ends = np.arange(0, residuals.size + 1, classes)
    shape = (images, classes * bins)
    return csr_matrix((residuals.ravel(), columns.ravel(), row_ends), shape=shape)


def smooth_error(quantity: Quantity, confidence: Any, correct: Any) -> Statistic:
    """Return the smooth ECE, which has a paired test but no interval."""
    confidences, flags = check_confidences(confidence, correct)
    n = len(confidences)

    def sums() -> SumStatistic:
        grid = residuals_on_grid(confidences, flags - confidences, GRID_CELLS)
        return SumStatistic(grid, lambda sums: smooth_ece_of_grid(sums / n)[:, None], n)

    return Statistic(
        quantities=(quantity,),
        values=np.array([smooth_ece(confidences, flags)]),
        make_sums=sums,
        bounds=lambda level: [NO_SMOOTH],
    )
