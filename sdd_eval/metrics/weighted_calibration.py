"""Calibration errors of weighted images, computed for many resamples at once.

Each `weighted_…` function takes the arguments of the metric of that name and returns a function
from weights (k, n), how often each image counts, to the k errors of the images repeated so often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import (
    Floats,
    LogitMatrix,
    class_indices,
    float64_blocks,
    logit_matrix,
)
from sdd_eval.metrics.calibration import (
    bin_index,
    check_bins,
    check_confidences,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece_of_bins,
    equal_mass_sizes,
    weighted_bin_sums,
)
from sdd_eval.metrics.smooth_ece import residuals_on_grid, smooth_ece_of_grid

Errors = Callable[[Any], Floats]

#: Grid cells of the smooth ECE here; its kernel is wider than several of them.
CELLS = 512
#: Values of the classwise residuals that are held at once: 64 MiB of float32.
BLOCK_SIZE = 1 << 24


def weighted_equal_width_errors(confidence: Any, correct: Any, bins: int = 10) -> Errors:
    """Return a function from weights to ECE and the two debiased errors (k, 3).

    The maximum calibration error is left out: its bootstrap interval does not cover.

    >>> errors = weighted_equal_width_errors([0.75, 0.75], [1, 0], 2)
    >>> errors(np.array([[1, 1], [2, 0]]))[:, 0].tolist()
    [0.25, 0.25]
    """
    sums_of = weighted_bin_sums(confidence, correct, bins)

    def errors(weights: Any) -> Floats:
        sums = sums_of(weights)
        metrics = (ece_of_bins, debiased_ece_of_bins, debiased_l2_of_bins)
        return np.stack([metric(sums) for metric in metrics], axis=-1)

    return errors


def weighted_bin_confidence(confidence: Any, bins: int = 10) -> Errors:
    """Return a function from weights to each bin's mean confidence (k, M), NaN in empty bins.

    >>> weighted_bin_confidence([0.75, 0.95], 2)(np.array([[1, 1], [2, 0]])).round(2).tolist()
    [[nan, 0.85], [nan, 0.75]]
    """
    sums_of = weighted_bin_sums(confidence, np.zeros(len(confidence)), bins)

    def means(weights: Any) -> Floats:
        sums = sums_of(weights)
        with np.errstate(invalid="ignore"):
            return np.asarray(sums.confidence / sums.count)

    return means


def weighted_adaptive_ece(confidence: Any, correct: Any, bins: int = 10) -> Errors:
    """Return a function from integer weights to `adaptive_ece` (k,).

    >>> weighted_adaptive_ece([0.9, 0.8], [1, 0], 2)(np.array([[1, 1], [2, 0]])).round(6).tolist()
    [0.45, 0.1]
    """
    check_bins(bins)
    confidences, flags = check_confidences(confidence, correct)
    order = np.argsort(confidences, kind="stable")
    ranked = confidences[order]
    # Tied images share their residuals, so that only the cumulative sums at ends of ties count.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    residuals = (flags - confidences)[order]

    def errors(weights: Any) -> Floats:
        sorted_weights = np.asarray(weights)[:, order]
        counts = _from_zero(np.cumsum(sorted_weights, axis=1, dtype=np.float64)[:, ends])
        gaps = _from_zero(np.cumsum(sorted_weights * residuals, axis=1)[:, ends])
        values = np.empty(len(sorted_weights))
        for row, (count, gap) in enumerate(zip(counts, gaps, strict=True)):
            edges = np.cumsum([0, *equal_mass_sizes(round(count[-1]), bins)])
            values[row] = np.abs(np.diff(np.interp(edges, count, gap))).sum() / count[-1]
        return values

    return errors


def _from_zero(sums: Floats) -> Floats:
    """Prepend a column of zeros to cumulative sums (k, n)."""
    return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)


def weighted_smooth_ece(confidence: Any, correct: Any) -> Errors:
    """Return a function from weights to `smooth_ece` (k,).

    The grid is coarser than that of `smooth_ece`, which changes the error by less than 1 % of it.

    >>> weighted_smooth_ece([0.5, 0.5], [1, 1])(np.array([[1, 1], [2, 0]])).round(4).tolist()
    [0.5, 0.5]
    """
    confidences, flags = check_confidences(confidence, correct)
    residuals = residuals_on_grid(confidences, flags - confidences, CELLS).T.tocsr()

    def errors(weights: Any) -> Floats:
        counts = np.asarray(weights)
        sums = (residuals @ counts.T.astype(np.float64)).T
        return smooth_ece_of_grid(sums / counts.sum(axis=1, keepdims=True))

    return errors


def weighted_classwise_ece(logits: Any, labels: Any, bins: int = 10) -> Errors:
    """Return a function from weights to `classwise_ece` (k,), computed in float32.

    >>> errors = weighted_classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 1])
    >>> errors(np.array([[1, 1], [2, 0]])).tolist()
    [0.0, 0.5]
    """
    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    targets = class_indices(labels, images=images, classes=classes)
    probabilities = _softmax(values)
    step = max(1, BLOCK_SIZE // (images * bins))

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, classes, step):
            yield _bin_residuals(probabilities[:, start : start + step], targets - start, bins)

    cached = list(blocks()) if step >= classes else None

    def errors(weights: Any) -> Floats:
        counts = np.asarray(weights, dtype=np.float32)
        total = np.zeros(len(counts))
        for block in cached if cached is not None else blocks():
            total += np.abs(counts @ block).sum(axis=1, dtype=np.float64)
        return np.asarray(total / (counts.sum(axis=1, dtype=np.float64) * classes))

    return errors


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
    residuals = _softmax(values)
    columns = np.arange(classes) * bins + bin_index(residuals.astype(np.float64), bins)
    residuals[np.arange(images), targets] -= 1
    row_ends = np.arange(0, residuals.size + 1, classes)
    shape = (images, classes * bins)
    return csr_matrix((residuals.ravel(), columns.ravel(), row_ends), shape=shape)


def _softmax(values: LogitMatrix) -> NDArray[np.float32]:
    """Return the softmax (n, classes) at T = 1."""
    probabilities = np.empty(values.shape, dtype=np.float32)
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        probabilities[rows] = block / block.sum(axis=1, keepdims=True)
    return probabilities


def _bin_residuals(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], bins: int
) -> NDArray[np.float32]:
    """Return probability − [label] in a column for each filled bin of each class (n, columns)."""
    images, classes = probabilities.shape
    index = bin_index(probabilities.astype(np.float64), bins)
    residuals = probabilities.copy()
    labelled = np.flatnonzero((targets >= 0) & (targets < classes))
    residuals[labelled, targets[labelled]] -= 1
    columns = np.zeros((images, classes, bins), dtype=np.float32)
    np.put_along_axis(columns, index[:, :, None], residuals[:, :, None], axis=2)
    filled = np.bincount((np.arange(classes) * bins + index).ravel(), minlength=classes * bins) > 0
    return np.ascontiguousarray(columns.reshape(images, -1)[:, filled])
