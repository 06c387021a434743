"""Images of a set as arrays with their channels last, which is how the recipe takes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet, Pixels


def blocks(images: ImageSet, size: int, rows: NDArray[np.int64]) -> Iterator[Pixels]:
    """Arrays (≤ size, side, side, channels) uint8 of these rows, in their order."""
    for batch in images.batches(size, rows):
        yield np.ascontiguousarray(batch.numpy().transpose(0, 2, 3, 1))
