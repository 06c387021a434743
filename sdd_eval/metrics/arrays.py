"""Convert inputs of metrics to NumPy arrays and validate them.

Logits are processed in blocks of rows, so float64 precision does not need a full float64 copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError

Floats = NDArray[np.float64]
LogitMatrix = NDArray[np.float32] | NDArray[np.float64]

#: Number of values in a block of logits: 1 MiB of float64, which fits into a core's cache.
BLOCK_SIZE = 2**17


def float_array(values: Any, name: str, *, dimensions: int = 1) -> Floats:
    """Convert an array, a list, or a tensor of any device and precision to a float64 array.

    `name` describes the values, in the plural, for error messages. Raise InputError if the array is
    empty, does not have this number of `dimensions`, or contains NaN.

    >>> float_array([1, 2], "scores")
    array([1., 2.])
    """
    if hasattr(values, "detach"):  # NumPy reads neither bfloat16 nor tensors of other devices
        values = values.detach().cpu().double()
    array: Floats = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise InputError(f"the {name} have {array.ndim} dimensions, not {dimensions}")
    if array.size == 0:
        raise InputError(f"there are no {name}; at least one is needed")
    missing = int(np.isnan(array).sum())
    if missing:
        raise InputError(f"{missing} of {array.size} {name} are NaN; every one must be a number")
    return array


def class_indices(labels: Any, *, images: int, classes: int) -> NDArray[np.int64]:
    """Return labels (images,) as class indices.

    Raise InputError for a wrong number of labels, or a label that is not an integer in [0,
    `classes`).

    >>> class_indices([2.0, 0.0], images=2, classes=3)
    array([2, 0])
    """
    indices = float_array(labels, "labels")
    if len(indices) != images:
        raise InputError(f"there are {len(indices)} labels for {images} images")
    invalid = (indices < 0) | (indices >= classes) | (indices != np.floor(indices))
    if invalid.any():
        raise InputError(
            f"label {indices[invalid][0]:g} is not a class: with {classes} classes, "
            f"labels are 0 to {classes - 1}"
        )
    return indices.astype(np.int64)


def logit_matrix(values: Any) -> LogitMatrix:
    """Return logits (n, classes) as float32 if they are float32, else as float64.

    Raise InputError if there are none, or if they do not have 2 dimensions.

    >>> logit_matrix([[1, 2]])
    array([[1., 2.]])
    """
    if hasattr(values, "detach"):  # NumPy reads neither bfloat16 nor tensors of other devices
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


def logits_and_targets(logits: Any, labels: Any) -> tuple[LogitMatrix, NDArray[np.int64]]:
    """Return logits like `logit_matrix` and the labels of their images like `class_indices`."""
    values = logit_matrix(logits)
    return values, class_indices(labels, images=len(values), classes=values.shape[1])


def float64_blocks(matrix: LogitMatrix) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows: their slice, and a float64 copy that the caller may overwrite.

    Raise InputError for NaN or infinite logits.

    >>> [(rows.stop, float(block.sum())) for rows, block in float64_blocks(np.ones((2, 3)))]
    [(2, 6.0)]
    """
    step = max(1, BLOCK_SIZE // matrix.shape[1])
    for start in range(0, len(matrix), step):
        rows = slice(start, min(start + step, len(matrix)))
        block = np.array(matrix[rows], dtype=np.float64)
        if not np.isfinite(block).all():
            raise InputError(_not_finite(matrix))
        yield rows, block


def probability_blocks(matrix: LogitMatrix) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows of the softmax in float64, like `float64_blocks`."""
    for rows, block in float64_blocks(matrix):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
        yield rows, block


def finite_logits(matrix: LogitMatrix) -> Floats:
    """Return the whole matrix in float64; raise InputError for NaN or infinite logits.

    >>> finite_logits(np.array([[np.nan, np.inf, 0.0]]))
    Traceback (most recent call last):
    sdd_eval.errors.InputError: 1 of 3 logits are NaN and 1 infinite; every one must be finite
    """
    if not np.isfinite(matrix).all():
        raise InputError(_not_finite(matrix))
    return matrix.astype(np.float64, copy=False)


def _not_finite(matrix: LogitMatrix) -> str:
    """Return an error message with the numbers of NaN and infinite logits."""
    missing, infinite = int(np.isnan(matrix).sum()), int(np.isinf(matrix).sum())
    if missing and infinite:
        kind = f"NaN and {infinite} infinite"
    else:
        kind = "NaN" if missing else "infinite"
    return f"{missing or infinite} of {matrix.size} logits are {kind}; every one must be finite"
