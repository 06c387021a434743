"""Read numbers that come as arrays, lists or tensors, and refuse those that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError

Numbers = NDArray[np.float64]


def numbers(values: Any, what: str, *, dimensions: int = 1) -> Numbers:
    """Values as float64, exactly; tensors may be on any device and of any precision.

    Raises:
        InputError: there are none, they have another number of dimensions, or some are NaN.

    >>> numbers([1, 2], "scores")
    array([1., 2.])
    """
    if hasattr(values, "detach"):  # a tensor: NumPy knows neither bfloat16 nor other devices
        values = values.detach().cpu().double()
    array: Numbers = np.asarray(values, dtype=np.float64)
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
    found = numbers(labels, "labels")
    if len(found) != images:
        raise InputError(f"there are {len(found)} labels for {images} images")
    strange = (found < 0) | (found >= classes) | (found != np.floor(found))
    if strange.any():
        raise InputError(
            f"label {found[strange][0]:g} is no class; with {classes} classes, "
            f"labels are 0 to {classes - 1}"
        )
    return found.astype(np.int64)
