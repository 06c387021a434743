"""A corrupted test set that is rendered on the fly from any set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption.frost import Photo, Photograph, photographs_digest, read_photographs
from sdd_eval.data.corruption.recipe import VERSION, corrupt, require_corruption
from sdd_eval.data.corruption.rendering import blocks
from sdd_eval.data.fingerprints import value_fingerprint
from sdd_eval.data.images import ImageSet, Labels, Pixels, Rows
from sdd_eval.data.provenance import REGENERATED
from sdd_eval.metrics.corruption import FIFTEEN

if TYPE_CHECKING:
    from sdd_eval.data.images import Batches

#: Rendered cells of at most so many bytes are cached, and so many bytes in total.
SMALL, CACHE_BYTES = 2**20, 2**26


@dataclass(frozen=True)
class GeneratedCorruptions:
    """The images of `source` under every corruption, rendered when they are read."""

    source: ImageSet
    seed: int = 0
    frost_photos: Sequence[Photo] | None = None
    """Photographs of frost, files or arrays; None for synthetic frost."""
    corruptions: tuple[str, ...] = FIFTEEN
    provenance: str = REGENERATED

    @property
    def name(self) -> str:
        """NAME_c_regenerated."""
        return f"{self.source.name}_c_regenerated"

    @property
    def recipe(self) -> int:
        """Version of the recipe that renders the images."""
        return VERSION

    @property
    def frost(self) -> str:
        """Source of the frost: "synthetic" or "photographs"."""
        return "synthetic" if self.frost_photos is None else "photographs"

    @cached_property
    def photos(self) -> tuple[Photograph, ...] | None:
        """The photographs of frost, read once."""
        return read_photographs(self.frost_photos, self.source.image_size)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything that determines the images."""
        return self._fingerprint()

    def _fingerprint(self, *cell: str | int) -> str:
        photos = photographs_digest(self.photos)
        return value_fingerprint(self.source.fingerprint, VERSION, self.seed, photos, *cell)

    def cell(self, corruption: str, severity: int) -> ImageSet:
        """Return the images of a corruption at a severity, 1 to 5; raise InputError for others."""
        require_corruption(corruption, severity, self.seed)
        return GeneratedCell(
            corrupted=self,
            corruption=corruption,
            severity=severity,
            name=f"{self.name} {corruption} {severity}",
            fingerprint=self._fingerprint(corruption, severity),
            labels=self.source.labels,
            class_names=self.source.class_names,
            image_size=self.source.image_size,
            channels=self.source.channels,
        )


@dataclass(frozen=True)
class GeneratedCell:
    """One corruption at one severity; rows are corrupted when they are read."""

    corrupted: GeneratedCorruptions
    corruption: str
    severity: int
    name: str
    fingerprint: str
    labels: Labels | None
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    provenance: str = REGENERATED

    def __len__(self) -> int:
        return len(self.corrupted.source)

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        import torch

        selected = np.arange(len(self)) if indices is None else np.asarray(indices)
        small = len(self) * self.channels * self.image_size**2 <= SMALL
        for start in range(0, len(selected), size):
            rows = selected[start : start + size]
            pixels = self._cached(rows) if small else self._rendered(rows)
            yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(device)

    def _rendered(self, rows: NDArray[np.int64]) -> Pixels:
        """Render rows, uint8 (n, side, side, channels)."""
        clean = next(blocks(self.corrupted.source, len(rows), rows))
        return corrupt(
            clean,
            self.corruption,
            self.severity,
            seed=self.corrupted.seed,
            indices=rows,
            frost_photos=self.corrupted.photos,
        )

    def _cached(self, rows: NDArray[np.int64]) -> Pixels:
        """Return rows from the cache, rendering missing ones; the oldest cells make room."""
        if self.fingerprint not in _CACHE:
            shape = (len(self), self.image_size, self.image_size, self.channels)
            _CACHE[self.fingerprint] = np.empty(shape, np.uint8), np.zeros(len(self), dtype=bool)
            while sum(images.nbytes for images, _ in _CACHE.values()) > CACHE_BYTES:
                del _CACHE[next(iter(_CACHE))]
        pixels, rendered = _CACHE[self.fingerprint]
        missing = np.unique(rows[~rendered[rows]])
        if len(missing):
            pixels[missing] = self._rendered(missing)
            rendered[missing] = True
        return pixels[rows]


#: Images of small cells, and which rows are rendered, by fingerprint; shared by the evaluations of
#: several checkpoints.
_CACHE: dict[str, tuple[Pixels, NDArray[np.bool_]]] = {}
