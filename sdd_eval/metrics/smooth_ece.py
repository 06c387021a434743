"""Calibration error without bins: residuals smoothed by a kernel that picks its own width.

Source: Błasiok, Nakkiran (2024), "Smooth ECE: principled reliability diagrams via kernel
smoothing".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import check_confidences

#: Cells of [0, 1]; halving them again changes no result by more than 1e-6.
CELLS = 2**14
#: Halvings of [0, 1] until the error of many weightings is known to 1e-5.
BISECTIONS = 16


def smooth_ece(confidence: Any, correct: Any) -> float:
    """Smooth expected calibration error, a fraction: the smallest σ with smECE_σ ≤ σ.

    smECE_σ = ∫₀¹ |1/n Σ (correct − confidence) K_σ(t, confidence)| dt with the Gaussian kernel
    K_σ reflected at 0 and 1. It falls as σ rises, so that there is one such σ. Arguments are those
    of `calibration.ece`.

    Reflection makes the cosines on [0, 1] the kernel's eigenfunctions: on a fine grid smoothing is
    a multiplication between two cosine transforms, and a million images cost hardly more than ten.

    Raises:
        InputError: see `calibration.ece`.

    >>> smooth_ece([1.0, 1.0], [1, 1])
    0.0
    >>> round(smooth_ece([0.5, 0.5], [1, 1]), 4)  # wide kernels spill nothing over the ends
    0.5
    """
    from scipy.fft import dct
    from scipy.optimize import brentq

    sure, right = check_confidences(confidence, correct)
    waves = dct(_on_grid(sure, right - sure), norm="ortho")
    if _smoothed(waves, 0.0) <= 0:
        return 0.0
    width: float = brentq(lambda width: _smoothed(waves, width) - width, 0.0, 2.0, xtol=1e-12)
    return min(width, 1.0)


def residuals_on_grid(confidence: Floats, residual: Floats, cells: int) -> Any:
    """Each image's residual in the two cells that it is between, sparse (n, cells)."""
    from scipy.sparse import csr_matrix

    left, right, upper_share = _places(confidence, cells)
    values = np.stack([residual * (1 - upper_share), residual * upper_share], axis=1)
    images = np.repeat(np.arange(len(confidence)), 2)
    places = np.stack([left, right], axis=1)
    shape = (len(confidence), cells)
    return csr_matrix((values.ravel(), (images, places.ravel())), shape=shape)


def waves_of(confidence: Floats, residual: Floats, cells: int) -> Callable[[Floats], Floats]:
    """From weights (k, n) of the images to the cosine transforms (k, cells) of their residuals."""
    shares = residuals_on_grid(confidence, residual, cells).T.tocsr()

    def waves(weights: Floats) -> Floats:
        grid = (shares @ weights.T.astype(np.float64)).T / weights.sum(axis=1, keepdims=True)
        return _waves(grid)

    return waves


def _waves(grid: Floats) -> Floats:
    """The cosine transforms (k, cells) of mean residuals on a grid."""
    from scipy.fft import dct

    found: Floats = dct(np.ascontiguousarray(grid, dtype=np.float64), norm="ortho", axis=1)
    return found


def smooth_ece_of_grid(grid: Floats) -> Floats:
    """Smooth ECE (k,) of mean residuals on a grid (k, cells), as `residuals_on_grid` gives them.

    >>> shares = residuals_on_grid(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 512)
    >>> smooth_ece_of_grid(np.asarray(shares.mean(axis=0))).round(4).tolist()
    [0.5]
    """
    return smooth_ece_of_waves(_waves(grid))


def smooth_ece_of_waves(waves: Floats) -> Floats:
    """Smooth ECE (k,) of cosine transforms (k, cells), all by one bisection, to 1e-5."""
    low, high = np.zeros(len(waves)), np.ones(len(waves))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = _smoothed(waves, middle[:, None]) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _on_grid(confidence: Floats, residual: Floats) -> Floats:
    """Mean residuals (CELLS,): each image's is shared by the two cells whose centres it is between.

    Sharing keeps the mean place exact, so that the error of the grid is of second order.
    """
    left, right, upper_share = _places(confidence, CELLS)
    grid = np.bincount(left, residual * (1 - upper_share), minlength=CELLS)
    grid += np.bincount(right, residual * upper_share, minlength=CELLS)
    return np.asarray(grid / len(confidence), dtype=np.float64)


def _places(confidence: Floats, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """The two cells whose centres each confidence is between, and the share of the upper one."""
    place = confidence * cells - 0.5
    lower = np.floor(place)
    # Beyond the outermost centres the neighbour is the cell's own reflection.
    left = np.clip(lower, 0, cells - 1).astype(np.int64)
    right = np.clip(lower + 1, 0, cells - 1).astype(np.int64)
    return left, right, place - lower


def _smoothed(waves: Floats, width: Any) -> Any:
    """smECE_σ (…) from the cosine transforms (…, cells) of the residuals on the grid."""
    from scipy.fft import idct

    frequencies = np.arange(waves.shape[-1])
    damping = np.exp(-0.5 * (np.pi * width * frequencies) ** 2)
    return np.abs(idct(waves * damping, norm="ortho", axis=-1)).sum(axis=-1)
