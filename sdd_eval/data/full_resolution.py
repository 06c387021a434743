"""Images as their files have them, whatever set they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.data.image_folder import FolderImages
from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import PartImages

if TYPE_CHECKING:
    import torch
    from PIL import Image


def photographs(images: ImageSet) -> bool:
    """Whether a set's files are larger than what a network sees of them."""
    if isinstance(images, PartImages):
        return photographs(images.whole)
    return isinstance(images, FolderImages) and images.photographs


def original(images: ImageSet, row: int) -> Image.Image | torch.Tensor:
    """An image as its file has it, of any size; of a set without files a uint8 tensor.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(images, PartImages):
        return original(images.whole, int(images.rows[row]))
    return images.original(row) if isinstance(images, FolderImages) else tested(images, row)


def tested(images: ImageSet, row: int) -> torch.Tensor:
    """An image as a network is tested on it, uint8 (channels, side, side).

    Raises:
        InputError: it cannot be read.
    """
    (batch,) = images.batches(1, np.array([row]))
    return batch[0]
