"""Linear zooms into the centre, as sparse matrices over the pixels of an image."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sdd_eval.data.corruption.definition import Floats


def zoom_axis(inside: int, side: int, factor: float) -> NDArray[np.float64]:
    """The weights (side, inside) by which `inside` samples, zoomed, fill `side` pixels.

    The central ⌈inside / factor⌉ samples are spread over `factor` times as many pixels (times
    side / inside), ends on ends, linearly between; what is too much is trimmed at both ends.
    """
    cut = math.ceil(inside / factor)
    enlarged = max(side, round(cut * factor * side / inside))
    first, trim = (inside - cut) // 2, (enlarged - side) // 2
    where = (np.arange(side) + trim) * (cut - 1) / max(1, enlarged - 1)
    below = np.minimum(where.astype(np.int64), max(0, cut - 2))
    weights = np.zeros((side, inside))
    rows = np.arange(side)
    weights[rows, first + below] += 1 - (where - below)
    weights[rows, first + np.minimum(below + 1, cut - 1)] += where - below
    return weights


@functools.lru_cache(maxsize=4)
def zoom_operator(inside: int, side: int, factors: tuple[float, ...], keep: bool) -> Any:
    """The mean of the zooms, sparse (side², inside²); `keep` counts the image itself in."""
    total = sparse.csr_matrix((side * side, inside * inside))
    if keep:
        total = total + sparse.identity(side * side, format="csr")
    for factor in factors:
        axis = sparse.csr_matrix(zoom_axis(inside, side, factor))
        total = total + sparse.kron(axis, axis, format="csr")
    return (total / (len(factors) + keep)).astype(np.float32)


def apply(operator: Any, images: Floats) -> Floats:
    """Images (n, inside, inside, channels) → (n, side, side, channels) by a matrix over pixels."""
    count, inside, _, channels = images.shape
    side = math.isqrt(operator.shape[0])
    columns = images.reshape(count, inside * inside, channels).transpose(1, 0, 2)
    mixed = operator @ columns.reshape(inside * inside, count * channels)
    pixels = mixed.reshape(side, side, count, channels).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(pixels, dtype=np.float32)
