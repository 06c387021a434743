"""Smooth ECE: a calibration error without bins.

Source: Błasiok, Nakkiran (2024), "Smooth ECE: principled reliability diagrams via kernel
smoothing".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import check_confidences
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: Number of grid cells on [0, 1]; halving their width changes no result by more than 1e-6.
CELLS = 2**14
#: Number of grid cells in permutations; the kernel is wider than several of them.
CELLS_OF_PERMUTATIONS = 512
#: Number of bisections of [0, 1], which determine the error to 1e-12, or to 1e-5 in permutations.
BISECTIONS, BISECTIONS_OF_PERMUTATIONS = 40, 16
NO_SMOOTH = "no method known covers the smooth ECE of accurate networks"


def smooth_ece(confidence: Any, correct: Any) -> float:
    """Return the smooth ECE, a fraction: the smallest σ with smECE_σ ≤ σ.

    smECE_σ = ∫₀¹ |1/n Σ (correct − confidence) K_σ(t, confidence)| dt with the Gaussian kernel K_σ
    reflected at 0 and 1. It decreases in σ, so σ is unique. The cosines on [0, 1] are the
    eigenfunctions of the reflected kernel: on a grid, smoothing is a multiplication between two
    discrete cosine transforms, whose cost hardly depends on the number of images. Arguments and
    errors are as in `calibration.ece`.

    >>> smooth_ece([1.0, 1.0], [1, 1])
    0.0
    >>> round(smooth_ece([0.5, 0.5], [1, 1]), 4)  # wide kernels lose no mass at the ends
    0.5
    """
    confidences, flags = check_confidences(confidence, correct)
    grid = residuals_on_grid(confidences, flags - confidences, CELLS).sum(axis=0)
    return float(smooth_ece_of_grid(np.asarray(grid) / len(flags), BISECTIONS)[0])


def smooth_error(quantity: Quantity, confidence: Any, correct: Any) -> Statistic:
    """Return the smooth ECE as a statistic, which has a paired test but no interval."""
    confidences, flags = check_confidences(confidence, correct)
    n = len(confidences)

    def sums() -> SumStatistic:
        grid = residuals_on_grid(confidences, flags - confidences, CELLS_OF_PERMUTATIONS)
        return SumStatistic(grid, lambda sums: smooth_ece_of_grid(sums / n)[:, None], n)

    return Statistic(
        quantities=(quantity,),
        values=np.array([smooth_ece(confidences, flags)]),
        make_sums=sums,
        bounds=lambda level: [NO_SMOOTH],
    )


def residuals_on_grid(confidence: Floats, residual: Floats, cells: int) -> Any:
    """Return a sparse matrix (n, cells) that splits each residual between its two nearest cells.

    Splitting preserves the mean position exactly, so the error of the grid is of second order.

    >>> residuals_on_grid(np.array([0.5]), np.array([0.4]), 2).toarray().tolist()
    [[0.2, 0.2]]
    """
    from scipy.sparse import csr_matrix

    position = confidence * cells - 0.5
    lower = np.floor(position)
    right_share = position - lower
    values = np.stack([residual * (1 - right_share), residual * right_share], axis=1)
    # Beyond the outermost centres, the neighbour is the reflection of the cell itself.
    columns = np.clip(np.stack([lower, lower + 1], axis=1), 0, cells - 1).astype(np.int64)
    images = np.repeat(np.arange(len(confidence)), 2)
    shape = (len(confidence), cells)
    return csr_matrix((values.ravel(), (images, columns.ravel())), shape=shape)


def smooth_ece_of_grid(grid: Floats, bisections: int = BISECTIONS_OF_PERMUTATIONS) -> Floats:
    """Return the smooth ECE (k,) of mean residuals on a grid (k, cells), to within 2^−`bisections`.

    >>> residuals = residuals_on_grid(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 512)
    >>> smooth_ece_of_grid(np.asarray(residuals.mean(axis=0))).round(4).tolist()
    [0.5]
    """
    from scipy.fft import dct

    transform = dct(np.ascontiguousarray(grid, dtype=np.float64), norm="ortho", axis=1)
    low, high = np.zeros(len(transform)), np.ones(len(transform))
    for _ in range(bisections):
        middle = (low + high) / 2
        above = _smoothed_error(transform, middle[:, None]) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(transform.any(axis=1), (low + high) / 2, 0.0)


def _smoothed_error(transform: Floats, width: Any) -> Any:
    """Return smECE_σ (…) from the cosine transforms (…, cells) of the residuals on the grid."""
    from scipy.fft import idct

    frequencies = np.arange(transform.shape[-1])
    damping = np.exp(-0.5 * (np.pi * width * frequencies) ** 2)
    return np.abs(idct(transform * damping, norm="ortho", axis=-1)).sum(axis=-1)
