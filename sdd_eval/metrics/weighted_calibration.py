"""Calibration errors of images that count with weights: what an error is in many resamples at once.

Each function takes what its namesake takes and returns a function from weights (k, n), how often
each of the n images counts, to the k errors of `np.repeat`ed images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats, LogitMatrix, class_indices, float64_blocks, logit_matrix
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
from sdd_eval.metrics.smooth_ece import smooth_ece_of_waves, waves_of

Errors = Callable[[Any], Floats]

#: Cells of the smooth error's grid here: its kernel is wider than several of them.
CELLS = 512
#: Values of a part of the classes' bins that are held at once: 64 MiB of float32.
HELD = 1 << 24


def weighted_equal_width_errors(confidence: Any, correct: Any, bins: int = 10) -> Errors:
    """ECE and the two debiased errors, (k, 3); a maximum cannot be told from resamples.

    >>> errors = weighted_equal_width_errors([0.75, 0.75], [1, 0], 2)
    >>> errors(np.array([[1, 1], [2, 0]]))[:, 0].tolist()
    [0.25, 0.25]
    """
    sums = weighted_bin_sums(confidence, correct, bins)

    def errors(weights: Any) -> Floats:
        found = sums(weights)
        makers = (ece_of_bins, debiased_ece_of_bins, debiased_l2_of_bins)
        return np.stack([make(found) for make in makers], axis=-1)

    return errors


def weighted_bin_confidence(confidence: Any, bins: int = 10) -> Errors:
    """Mean confidence of each bin of `reliability_bins` (k, M), NaN where it is empty.

    >>> weighted_bin_confidence([0.75, 0.95], 2)(np.array([[1, 1], [2, 0]])).round(2).tolist()
    [[nan, 0.85], [nan, 0.75]]
    """
    sums = weighted_bin_sums(confidence, np.zeros(len(confidence)), bins)

    def means(weights: Any) -> Floats:
        found = sums(weights)
        with np.errstate(invalid="ignore"):
            return np.asarray(found.confidence / found.count)

    return means


def weighted_adaptive_ece(confidence: Any, correct: Any, bins: int = 10) -> Errors:
    """`adaptive_ece`, (k,). Weights are whole numbers.

    >>> weighted_adaptive_ece([0.9, 0.8], [1, 0], 2)(np.array([[1, 1], [2, 0]])).round(6).tolist()
    [0.45, 0.1]
    """
    check_bins(bins)
    sure, right = check_confidences(confidence, correct)
    order = np.argsort(sure, kind="stable")
    # Equal confidences share what is right: only what is known at their last counts.
    last = np.flatnonzero(np.append(sure[order][1:] != sure[order][:-1], True))
    residual = (right - sure)[order]

    def errors(weights: Any) -> Floats:
        ranked = np.asarray(weights)[:, order]
        reached = _from_zero(np.cumsum(ranked, axis=1, dtype=np.float64)[:, last])
        gaps = _from_zero(np.cumsum(ranked * residual, axis=1)[:, last])
        found = np.empty(len(ranked))
        for row, (counts, gap) in enumerate(zip(reached, gaps, strict=True)):
            cuts = np.cumsum([0, *equal_mass_sizes(round(counts[-1]), bins)])
            found[row] = np.abs(np.diff(np.interp(cuts, counts, gap))).sum() / counts[-1]
        return found

    return errors


def _from_zero(sums: Floats) -> Floats:
    """Cumulative sums (k, n) after a leading zero."""
    return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)


def weighted_classwise_ece(logits: Any, labels: Any, bins: int = 10) -> Errors:
    """`classwise_ece`, (k,), in float32: a matrix product over images.

    >>> errors = weighted_classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 1])
    >>> errors(np.array([[1, 1], [2, 0]])).tolist()
    [0.0, 0.5]
    """
    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    truth = class_indices(labels, images=images, classes=classes)
    probabilities = _probabilities(values)
    step = max(1, HELD // (images * bins))

    def parts() -> Iterator[NDArray[np.float32]]:
        for start in range(0, classes, step):
            own = probabilities[:, start : start + step]
            yield _residuals(own, truth - start, bins)

    kept = list(parts()) if step >= classes else None

    def errors(weights: Any) -> Floats:
        counts = np.asarray(weights, dtype=np.float32)
        total = np.zeros(len(counts))
        for part in kept if kept is not None else parts():
            total += np.abs(counts @ part).sum(axis=1, dtype=np.float64)
        return np.asarray(total / (counts.sum(axis=1, dtype=np.float64) * classes))

    return errors


def classwise_residuals(logits: Any, labels: Any, bins: int = 10) -> Any:
    """Probability less [label] of each class in its bin, sparse float32 (n, classes · bins).

    The classwise error is the mean over images and classes of the absolute sums of these columns.

    >>> classwise_residuals([[0.0, 0.0]], [1], bins=2).toarray().tolist()
    [[0.5, 0.0, -0.5, 0.0]]
    """
    from scipy.sparse import csr_matrix

    check_bins(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    truth = class_indices(labels, images=images, classes=classes)
    residual = _probabilities(values)
    places = np.arange(classes) * bins + bin_index(residual.astype(np.float64), bins)
    residual[np.arange(images), truth] -= 1
    ends = np.arange(0, residual.size + 1, classes)
    return csr_matrix((residual.ravel(), places.ravel(), ends), shape=(images, classes * bins))


def _probabilities(values: LogitMatrix) -> NDArray[np.float32]:
    """Softmax (n, classes) at T = 1."""
    found = np.empty(values.shape, dtype=np.float32)
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        found[rows] = block / block.sum(axis=1, keepdims=True)
    return found


def _residuals(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], bins: int
) -> NDArray[np.float32]:
    """What each image adds to each bin of each class (n, filled bins): probability − [label]."""
    images, classes = probabilities.shape
    index = bin_index(probabilities.astype(np.float64), bins)
    residual = probabilities.copy()
    here = np.flatnonzero((truth >= 0) & (truth < classes))
    residual[here, truth[here]] -= 1
    columns = np.zeros((images, classes, bins), dtype=np.float32)
    np.put_along_axis(columns, index[:, :, None], residual[:, :, None], axis=2)
    filled = np.bincount((np.arange(classes) * bins + index).ravel(), minlength=classes * bins) > 0
    return np.ascontiguousarray(columns.reshape(images, -1)[:, filled])


def weighted_smooth_ece(confidence: Any, correct: Any) -> Errors:
    """`smooth_ece`, (k,), on a coarser grid that changes it by less than 1 % of itself.

    >>> weighted_smooth_ece([0.5, 0.5], [1, 1])(np.array([[1, 1], [2, 0]])).round(4).tolist()
    [0.5, 0.5]
    """
    sure, right = check_confidences(confidence, correct)
    waves = waves_of(sure, right - sure, CELLS)
    return lambda weights: smooth_ece_of_waves(waves(np.asarray(weights)))
