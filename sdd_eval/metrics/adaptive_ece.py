"""Adaptive ECE: the calibration error over equal-mass instead of equal-width bins.

Source: Nguyen, O'Connor (2015), "Posterior calibration and exploratory analysis for natural
language processing models".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import METHOD, check_bins, check_confidences, ece_of_bins
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.risk_coverage import tie_means
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: Permutations count images in cells of confidence, half of them equally spaced in log2(1 −
#: confidence) down to 2⁻³². A cell is split like tied confidences, which changes the error of many
#: images by about 1e-4. For up to `FEW_IMAGES` images, finer cells avoid that two images share a
#: cell.
CELLS_OF_MANY, CELLS_OF_FEW = 2048, 1 << 20
FEW_IMAGES = 4096


def adaptive_ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Return the adaptive ECE: the ECE over equal-mass instead of equal-width bins.

    Images are sorted by confidence and split into `bins` groups whose sizes differ by at most one,
    larger groups first. Images with equal confidences share their mean correctness, so that the
    order of the images does not matter. Arguments and errors are as in `calibration.ece`.

    >>> round(adaptive_ece([0.9, 0.8, 0.6, 0.5], [1, 1, 0, 1], bins=2), 4)  # (.05 + .15) / 2
    0.1
    >>> adaptive_ece([1.0, 1.0], [False, True], bins=2)
    0.5
    """
    confidences, flags = check_confidences(confidence, correct)
    return float(ece_of_bins(equal_mass_bins(confidences, flags, check_bins(bins))))


def equal_mass_bins(confidence: Floats, correct: Floats, bins: int) -> binned.Bins:
    """Return the non-empty equal-mass bins; sums of correct images are fractional at split ties.

    >>> equal_mass_bins(np.array([0.5, 0.5, 0.25]), np.array([1.0, 0.0, 1.0]), 2).correct
    array([1.5, 0.5])
    """
    order = np.argsort(confidence, kind="stable")
    ranked = confidence[order]
    edges = _edges(len(ranked), bins)
    sizes, starts = np.diff(edges), edges[:-1][np.diff(edges) > 0]
    right = np.add.reduceat(tie_means(ranked, correct[order]), starts)
    return binned.Bins(sizes[sizes > 0].astype(np.float64), np.add.reduceat(ranked, starts), right)


def _edges(images: int, bins: int) -> NDArray[np.int64]:
    """Return the edges of equal-mass bins, whose sizes differ by at most one, larger bins first."""
    index = np.arange(bins + 1)
    return index * (images // bins) + np.minimum(index, images % bins)


def adaptive_error(quantity: Quantity, confidence: Any, correct: Any, bins: int) -> Statistic:
    """Return the adaptive ECE as a statistic; arguments and errors are as in `adaptive_ece`."""
    confidences, flags = check_confidences(confidence, correct)
    exact = equal_mass_bins(confidences, flags, check_bins(bins))
    of_bins = replace(exact, correct=np.round(exact.correct))  # whole images, for the interval

    def influence() -> Floats:
        signs = np.repeat(np.sign(of_bins.gap), of_bins.count.astype(np.int64))
        of_images = np.empty(len(flags))
        of_images[np.argsort(confidences, kind="stable")] = signs
        return (of_images * (flags - confidences))[:, None]

    return Statistic(
        quantities=(quantity,),
        values=ece_of_bins(exact)[None],
        make_sums=lambda: _sums(confidences, flags, bins),
        bounds=lambda level: [binned.ece(of_bins, level)],
        method=METHOD,
        influence=influence,
    )


def _sums(confidence: Floats, correct: Floats, bins: int) -> SumStatistic:
    """Return the adaptive ECE; the columns are images and residuals by confidence cell."""
    from scipy.sparse import csr_matrix

    n = len(confidence)
    cells = CELLS_OF_MANY if n > FEW_IMAGES else CELLS_OF_FEW
    cell = _cell_index(confidence, cells)
    values = np.stack([np.ones(n), correct - confidence], axis=1).astype(np.float32)
    columns = np.stack([cell, cell + cells], axis=1)
    row_ends = np.arange(0, 2 * n + 1, 2)
    matrix = csr_matrix((values.ravel(), columns.ravel(), row_ends), shape=(n, 2 * cells))
    edges = _edges(n, bins)

    def finish(sums: Floats) -> Floats:
        by_cell = sums.reshape(len(sums), 2, -1)
        cumulative = np.zeros((len(sums), 2, by_cell.shape[2] + 1))
        np.cumsum(by_cell, axis=2, out=cumulative[:, :, 1:])
        at_edges = np.stack([np.interp(edges, counts, gaps) for counts, gaps in cumulative])
        errors: Floats = np.abs(np.diff(at_edges)).sum(axis=1)[:, None] / n
        return errors

    return SumStatistic(matrix, finish, n, packed=True)


def _cell_index(confidence: Floats, cells: int) -> NDArray[np.int64]:
    """Return the cell of each confidence; cells do not decrease with confidence.

    >>> _cell_index(np.array([0.0, 0.5, 1.0]), 2048).tolist()
    [0, 544, 2047]
    """
    depth = np.minimum(-np.log2(np.maximum(1 - confidence, 2.0**-32)), 32) / 32
    return np.minimum((confidence + depth) / 2 * cells, cells - 1).astype(np.int64)
