"""Smooth ECE: a calibration error without bins.

Source: Błasiok, Nakkiran (2024), "Smooth ECE: principled reliability diagrams via kernel
smoothing".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import check_confidences

#: Grid cells on [0, 1]; halving them again changes no result by more than 1e-6.
CELLS = 2**14
#: Bisections of [0, 1], which determine the errors of many weightings to 1e-5.
BISECTIONS = 16


def smooth_ece(confidence: Any, correct: Any) -> float:
    """Return the smooth ECE, a fraction: the smallest σ with smECE_σ ≤ σ.

    smECE_σ = ∫₀¹ |1/n Σ (correct − confidence) K_σ(t, confidence)| dt with the Gaussian kernel K_σ
    reflected at 0 and 1. It decreases in σ, so that σ is unique. The cosines on [0, 1] are the
    eigenfunctions of the reflected kernel: on a grid, smoothing is a multiplication between two
    discrete cosine transforms, whose cost hardly depends on the number of images. Arguments and
    errors as in `calibration.ece`.

    >>> smooth_ece([1.0, 1.0], [1, 1])
    0.0
    >>> round(smooth_ece([0.5, 0.5], [1, 1]), 4)  # wide kernels lose no mass at the ends
    0.5
    """
    from scipy.fft import dct
    from scipy.optimize import brentq

    confidences, flags = check_confidences(confidence, correct)
    transform = dct(_residual_grid(confidences, flags - confidences), norm="ortho")
    if _smoothed_error(transform, 0.0) <= 0:
        return 0.0
    width: float = brentq(lambda w: _smoothed_error(transform, w) - w, 0.0, 2.0, xtol=1e-12)
    return min(width, 1.0)


def residuals_on_grid(confidence: Floats, residual: Floats, cells: int) -> Any:
    """Return a sparse matrix (n, cells) that splits each residual between its two nearest cells.

    >>> residuals_on_grid(np.array([0.5]), np.array([0.4]), 2).toarray().tolist()
    [[0.2, 0.2]]
    """
    from scipy.sparse import csr_matrix

    left, right, right_share = _neighbours(confidence, cells)
    values = np.stack([residual * (1 - right_share), residual * right_share], axis=1)
    images = np.repeat(np.arange(len(confidence)), 2)
    columns = np.stack([left, right], axis=1)
    shape = (len(confidence), cells)
    return csr_matrix((values.ravel(), (images, columns.ravel())), shape=shape)


def smooth_ece_of_grid(grid: Floats) -> Floats:
    """Return the smooth ECE (k,), to 1e-5, of mean residuals on a grid (k, cells).

    >>> residuals = residuals_on_grid(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 512)
    >>> smooth_ece_of_grid(np.asarray(residuals.mean(axis=0))).round(4).tolist()
    [0.5]
    """
    from scipy.fft import dct

    transform = dct(np.ascontiguousarray(grid, dtype=np.float64), norm="ortho", axis=1)
    low, high = np.zeros(len(transform)), np.ones(len(transform))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = _smoothed_error(transform, middle[:, None]) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _residual_grid(confidence: Floats, residual: Floats) -> Floats:
    """Return mean residuals (CELLS,), each split between the two nearest cells.

    Splitting keeps the mean position exact, so that the error of the grid is of second order.
    """
    left, right, right_share = _neighbours(confidence, CELLS)
    grid = np.bincount(left, residual * (1 - right_share), minlength=CELLS)
    grid += np.bincount(right, residual * right_share, minlength=CELLS)
    return np.asarray(grid / len(confidence), dtype=np.float64)


def _neighbours(
    confidence: Floats, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the cells left and right of each confidence, and the right one's share (n,)."""
    position = confidence * cells - 0.5
    lower = np.floor(position)
    # Beyond the outermost centres the neighbour is the cell's own reflection.
    left = np.clip(lower, 0, cells - 1).astype(np.int64)
    right = np.clip(lower + 1, 0, cells - 1).astype(np.int64)
    return left, right, position - lower


def _smoothed_error(transform: Floats, width: Any) -> Any:
    """Return smECE_σ (…) from the cosine transforms (…, cells) of the residuals on the grid."""
    from scipy.fft import idct

    frequencies = np.arange(transform.shape[-1])
    damping = np.exp(-0.5 * (np.pi * width * frequencies) ** 2)
    return np.abs(idct(transform * damping, norm="ortho", axis=-1)).sum(axis=-1)
