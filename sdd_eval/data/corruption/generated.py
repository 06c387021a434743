"""A corrupted test set that is rendered on the fly from any set of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption.frost import Photo, Photograph, photographs_digest, read_photographs
from sdd_eval.data.corruption.recipe import VERSION, corrupt, require_corruption
from sdd_eval.data.corruption.rendering import blocks
from sdd_eval.data.fingerprints import value_fingerprint
from sdd_eval.data.images import ComputedImages, ImageSet, Pixels, Rows, metadata
from sdd_eval.data.provenance import REGENERATED
from sdd_eval.metrics.corruption import FIFTEEN

#: Maximum size in bytes of a rendered cell that is cached, and of all cached cells.
SMALL, CACHE_BYTES = 2**20, 2**26


@dataclass(frozen=True)
class GeneratedCorruptions:
    """The images of `source` under every corruption, rendered on access."""

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
        source, fingerprint = self.source, self._fingerprint(corruption, severity)

        def render(rows: Rows) -> Pixels:
            clean = next(blocks(source, len(rows), rows))
            photos = self.photos
            pixels: Pixels = corrupt(
                clean, corruption, severity, seed=self.seed, indices=rows, frost_photos=photos
            ).transpose(0, 3, 1, 2)
            return pixels

        shape = (len(source), source.channels, source.image_size, source.image_size)
        own = {"name": f"{self.name} {corruption} {severity}", "fingerprint": fingerprint}
        return ComputedImages(
            **metadata(source) | own | {"provenance": REGENERATED},
            total=len(source),
            compute=_cached(fingerprint, shape, render) if math.prod(shape) <= SMALL else render,
        )


def _cached(
    key: str, shape: tuple[int, ...], render: Callable[[Rows], Pixels]
) -> Callable[[Rows], Pixels]:
    """Return a function that only renders rows that are not in the cache."""

    def cached(rows: Rows) -> Pixels:
        if key not in _CACHE:
            _CACHE[key] = np.empty(shape, np.uint8), np.zeros(shape[0], dtype=bool)
            while sum(images.nbytes for images, _ in _CACHE.values()) > CACHE_BYTES:
                del _CACHE[next(iter(_CACHE))]  # evict the oldest cells
        pixels, rendered = _CACHE[key]
        missing = np.unique(rows[~rendered[rows]])
        if len(missing):
            pixels[missing] = render(missing)
            rendered[missing] = True
        return pixels[rows]

    return cached


#: Images of small cells and flags of their rendered rows, by fingerprint; shared by evaluations of
#: several checkpoints.
_CACHE: dict[str, tuple[Pixels, NDArray[np.bool_]]] = {}
