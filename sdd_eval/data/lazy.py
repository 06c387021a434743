"""Images that are in memory only while they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ArrayImages, ImageSet, Labels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LaterImages:
    """A set in memory of which only what describes it is kept; each pass loads the images anew."""

    name: str
    labels: Labels | None
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    fingerprint: str
    origin: str
    total: int
    load: Callable[[], ImageSet] = field(repr=False, compare=False)

    def __len__(self) -> int:
        """How many images there are."""
        return self.total

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        yield from self.load().batches(size, indices, device)


def forgetful(load: Callable[[], ImageSet]) -> ImageSet:
    """The set that `load` gives, so that many of them need no more memory than one.

    Sets that are read from the disk as they are looked at stay as they are.
    """
    images = load()
    if not isinstance(images, ArrayImages):
        return images
    return LaterImages(
        name=images.name,
        labels=images.labels,
        class_names=images.class_names,
        image_size=images.image_size,
        channels=images.channels,
        fingerprint=images.fingerprint,
        origin=images.origin,
        total=len(images),
        load=load,
    )
