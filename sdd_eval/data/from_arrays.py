"""Arrays of the user's → a set of images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.fingerprints import of_arrays
from sdd_eval.data.images import ArrayImages, Labels, Pixels
from sdd_eval.data.provenance import MADE_HERE
from sdd_eval.errors import InputError


def from_arrays(
    images: Any,
    labels: Any = None,
    *,
    name: str = "arrays",
    class_names: Sequence[str] = (),
    origin: str = MADE_HERE,
) -> ArrayImages:
    """A set of images out of arrays, or tensors on the CPU.

    Args:
        images: uint8, (n, side, side) grey, or with 1 or 3 channels last or, as torch has them,
            first.
        labels: class indices (n,); None where there are none.
        name: what results are filed under.
        class_names: in the order of the indices.
        origin: how far the set is its publisher's.

    Raises:
        InputError: the arrays have another shape or type, or labels that are none.
    """
    pixels = _pixels(np.asarray(images), name)
    indices = None if labels is None else _labels(np.asarray(labels), len(pixels), name)
    found = tuple(map(str, class_names))
    if indices is not None and found and indices.max() >= len(found):
        raise InputError(f"{name} has the label {indices.max()} and {len(found)} class names")
    return ArrayImages(name, pixels, indices, of_arrays(pixels, indices), origin, found)


def _pixels(images: NDArray[Any], name: str) -> Pixels:
    """(n, channels, side, side) uint8."""
    if images.dtype != np.uint8:
        raise InputError(f"the images of {name} are {images.dtype}, not uint8 of 0 to 255")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    square = images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3]
    if not square or not images.size:
        raise InputError(
            f"the images of {name} are {images.shape}, not (n, side, side), (n, side, side, 1 or "
            "3) or (n, 1 or 3, side, side)"
        )
    return np.ascontiguousarray(images)


def _labels(labels: NDArray[Any], count: int, name: str) -> Labels:
    """Class indices as int64."""
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"the labels of {name} are {labels.dtype} {labels.shape}, not {count:,} class indices"
        )
    found: Labels = labels.astype(np.int64)
    if found.min() < 0:
        raise InputError(f"the labels of {name} begin at {found.min()}, not at 0")
    return found
