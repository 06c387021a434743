"""Statistics of the `calibration` evaluator, before and after temperature scaling.

The scaled network counts as a second network with its fitted temperature: permutations swap the
scaled confidences of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.comparison.statistic import Arrays, KeyedStatistic, key, means
from sdd_eval.metrics.calibration import (
    BinSums,
    bin_index,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece_of_bins,
    equal_mass_sizes,
    mce_of_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll_per_image
from sdd_eval.metrics.smooth_ece import residuals_on_grid, smooth_ece_of_grid
from sdd_eval.metrics.temperature import cross_fit
from sdd_eval.metrics.weighted_calibration import CELLS, classwise_residuals
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

#: Errors that are functions of the sums over equal-width bins.
EQUAL_WIDTH = {
    "ece": ece_of_bins,
    "mce": mce_of_bins,
    "ece_debiased": debiased_ece_of_bins,
    "ece_debiased_l2": debiased_l2_of_bins,
}
#: Adaptive ECE counts images in cells of confidence, half of them equally spaced in log2(1 −
#: confidence) down to 2⁻³². A cell is cut like tied confidences, which changes the error of many
#: images by about 1e-4. Up to `FEW_IMAGES` finer cells avoid that two images share a cell.
CELLS_OF_MANY, CELLS_OF_FEW = 2048, 1 << 20
FEW_IMAGES = 4096


def calibration_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield calibration errors, NLL and Brier score, before and after temperature scaling."""
    logits, labels, bins = arrays["logits"], arrays["labels"], int(settings["bins"])
    yield from _errors(logits, labels, bins)
    if "temperature" in arrays:
        scaled = logits / np.asarray(arrays["temperature"])[:, None]
        yield from _errors(scaled, labels, bins, temperature="validation")
    elif len(labels) > 1:
        scaled = cross_fit(logits, labels).logits
        yield from _errors(scaled, labels, bins, temperature="cross-fitted")


def _errors(
    logits: NDArray[Any], labels: NDArray[Any], bins: int, **at: str
) -> Iterator[KeyedStatistic]:
    """Yield the errors of logits; slow ones are statistics of their own."""
    confidence, correct = confidence_and_correct(logits, labels)
    yield _equal_width(confidence, correct, bins, at)
    values = [nll_per_image(logits, labels), brier_per_image(logits, labels)]
    yield means([key("nll", **at), key("brier", **at)], values)
    n = len(confidence)
    columns = classwise_residuals(logits, labels, bins)
    total = n * (columns.shape[1] // bins)
    classwise = SumStatistic(columns, lambda sums: np.abs(sums).sum(axis=1)[:, None] / total, n)
    yield KeyedStatistic((key("ece_classwise", **at),), classwise)
    yield KeyedStatistic((key("ece_adaptive", **at),), _adaptive(confidence, correct, bins))
    grid = residuals_on_grid(confidence, correct - confidence, CELLS)
    smooth = SumStatistic(grid, lambda sums: smooth_ece_of_grid(sums / n)[:, None], n)
    yield KeyedStatistic((key("ece_smooth", **at),), smooth)


def _equal_width(
    confidence: Floats, correct: NDArray[np.bool_], bins: int, at: Mapping[str, str]
) -> KeyedStatistic:
    """Return the errors over equal-width bins.

    The columns hold residuals instead of confidences: their small sums are exact in float32.
    """
    n = len(confidence)
    columns = np.zeros((n, bins, 3), dtype=np.float32)
    terms = np.stack([np.ones(n), correct, correct - confidence], axis=1)
    columns[np.arange(n), bin_index(confidence, bins)] = terms

    def finish(sums: Floats) -> Floats:
        count, right, residual = np.moveaxis(sums.reshape(-1, bins, 3), -1, 0)
        bin_sums = BinSums(count, right - residual, right)
        return np.stack([error(bin_sums) for error in EQUAL_WIDTH.values()], axis=-1)

    keys = tuple(key(metric, **at) for metric in EQUAL_WIDTH)
    return KeyedStatistic(keys, SumStatistic(columns.reshape(n, -1), finish, n))


def _adaptive(confidence: Floats, correct: NDArray[np.bool_], bins: int) -> SumStatistic:
    """Return the adaptive ECE: the columns are images and residuals by cell of confidence."""
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
