"""Read numbers that come as arrays, lists or tensors, and refuse those that are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError

Floats = NDArray[np.float64]


def float_array(values: Any, what: str, *, dimensions: int = 1) -> Floats:
    """Values as float64, exactly; tensors may be on any device and of any precision.

    Raises:
        InputError: there are none, they have another number of dimensions, or some are NaN.

    >>> float_array([1, 2], "scores")
    array([1., 2.])
    """
    if hasattr(values, "detach"):  # a tensor: NumPy knows neither bfloat16 nor other devices
        values = values.detach().cpu().double()
    array: Floats = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise InputError(f"the {what} have {array.ndim} dimensions, not {dimensions}")
    if array.size == 0:
        raise InputError(f"there are no {what}; at least one is needed")
    missing = int(np.isnan(array).sum())
    if missing:
        raise InputError(f"{missing} of {array.size} {what} are NaN; every one must be a number")
    return array


def class_indices(labels: Any, *, images: int, classes: int) -> NDArray[np.int64]:
    """Labels (images,) as class indices below `classes`.

    Raises:
        InputError: there are more or fewer labels than images, or a label that is no class.
    """
    found = float_array(labels, "labels")
    if len(found) != images:
        raise InputError(f"there are {len(found)} labels for {images} images")
    strange = (found < 0) | (found >= classes) | (found != np.floor(found))
    if strange.any():
        raise InputError(
            f"label {found[strange][0]:g} is no class; with {classes} classes, "
            f"labels are 0 to {classes - 1}"
        )
    return found.astype(np.int64)


LogitMatrix = NDArray[np.float32] | NDArray[np.float64]

#: Values of a block: one MiB of float64, which stays in the cache of a core.
BLOCK = 2**17


def logit_matrix(values: Any) -> LogitMatrix:
    """Logits (n, classes) as float32 if they are, else as float64; tensors may be anywhere.

    Raises:
        InputError: there are none, or they have another number of dimensions.

    >>> logit_matrix([[1, 2]])
    array([[1., 2.]])
    """
    if hasattr(values, "detach"):  # a tensor: NumPy knows neither bfloat16 nor other devices
        values = values.detach().cpu()
        values = values.numpy() if str(values.dtype) == "torch.float32" else values.double().numpy()
    array = np.asarray(values)
    matrix: LogitMatrix = (
        array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
    )
    if matrix.ndim != 2:
        raise InputError(f"the logits have {matrix.ndim} dimensions, not 2")
    if matrix.size == 0:
        raise InputError("there are no logits; at least one is needed")
    return matrix


def float64_blocks(matrix: LogitMatrix) -> Iterator[tuple[slice, Floats]]:
    """Rows of a matrix and what they hold, a float64 copy for the caller to write in.

    Raises:
        InputError: some are NaN or infinite; it says how many of all.

    >>> [(rows.stop, float(block.sum())) for rows, block in float64_blocks(np.ones((2, 3)))]
    [(2, 6.0)]
    """
    step = max(1, BLOCK // matrix.shape[1])
    for start in range(0, len(matrix), step):
        rows = slice(start, min(start + step, len(matrix)))
        block = np.array(matrix[rows], dtype=np.float64)
        if not np.isfinite(block).all():
            raise InputError(_not_finite(matrix))
        yield rows, block


def finite_logits(matrix: LogitMatrix) -> Floats:
    """All of a matrix in float64, at once.

    Raises:
        InputError: some are NaN or infinite; it says how many.

    >>> finite_logits(np.array([[np.nan, np.inf, 0.0]]))
    Traceback (most recent call last):
    sdd_eval.errors.InputError: 1 of 3 logits are NaN and 1 infinite; every one must be finite
    """
    if not np.isfinite(matrix).all():
        raise InputError(_not_finite(matrix))
    return matrix.astype(np.float64, copy=False)


def _not_finite(matrix: LogitMatrix) -> str:
    """How many logits are NaN, and how many infinite."""
    missing, infinite = int(np.isnan(matrix).sum()), int(np.isinf(matrix).sum())
    if missing and infinite:
        what = f"NaN and {infinite} infinite"
    else:
        what = "NaN" if missing else "infinite"
    return f"{missing or infinite} of {matrix.size} logits are {what}; every one must be finite"
