"""A corrupted test set made while it is read, from any set of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption.frost import Photo, Photograph, photographs_digest, read_photographs
from sdd_eval.data.corruption.recipe import VERSION, corrupt, require_corruption
from sdd_eval.data.corruption.rendering import blocks
from sdd_eval.data.images import ImageSet, Labels, Pixels
from sdd_eval.metrics.corruption import FIFTEEN

if TYPE_CHECKING:
    import torch

#: Sets of so few bytes are kept once rendered, and so many bytes of them altogether.
SMALL, KEPT = 2**20, 2**26


@dataclass(frozen=True)
class GeneratedCorruptions:
    """The images of `source` in every corruption, rendered when they are asked for."""

    source: ImageSet
    seed: int = 0
    frost_photos: Sequence[Photo] | None = None
    """Photographs of frost, files or arrays; frost is made up without."""
    corruptions: tuple[str, ...] = FIFTEEN

    @property
    def name(self) -> str:
        """NAME_c_regenerated."""
        return f"{self.source.name}_c_regenerated"

    @property
    def provenance(self) -> str:
        """Never the publisher's."""
        return "regenerated"

    @property
    def frost(self) -> str:
        """Where frost is from: "synthetic" or "photographs"."""
        return "synthetic" if self.frost_photos is None else "photographs"

    @cached_property
    def photos(self) -> tuple[Photograph, ...] | None:
        """The photographs of frost, read once."""
        return read_photographs(self.frost_photos, self.source.image_size)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of what determines every image."""
        return self._fingerprint()

    def _fingerprint(self, *cell: str | int) -> str:
        parts = [
            self.source.fingerprint,
            VERSION,
            self.seed,
            photographs_digest(self.photos),
            *cell,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def cell(self, corruption: str, severity: int) -> ImageSet:
        """The images of one corruption at one severity, 1 to 5.

        Raises:
            InputError: there is no such corruption or severity.
        """
        require_corruption(corruption, severity, self.seed)
        return GeneratedCell(self, corruption, severity, self._fingerprint(corruption, severity))


@dataclass(frozen=True)
class GeneratedCell:
    """One corruption at one severity; a row is corrupted when a batch asks for it."""

    whole: GeneratedCorruptions
    corruption: str
    severity: int
    fingerprint: str

    @property
    def name(self) -> str:
        """The set's name, the corruption and the severity."""
        return f"{self.whole.name} {self.corruption} {self.severity}"

    @property
    def labels(self) -> Labels | None:
        """The source's."""
        return self.whole.source.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The source's."""
        return self.whole.source.class_names

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        return self.whole.source.image_size

    @property
    def channels(self) -> int:
        """One for grey, three for colour."""
        return self.whole.source.channels

    @property
    def provenance(self) -> str:
        """Never the publisher's."""
        return self.whole.provenance

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.whole.source)

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        import torch

        wanted = np.arange(len(self)) if indices is None else np.asarray(indices)
        small = len(self) * self.channels * self.image_size**2 <= SMALL
        for start in range(0, len(wanted), size):
            rows = wanted[start : start + size]
            pixels = self._remembered(rows) if small else self._rendered(rows)
            yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(device)

    def _rendered(self, rows: NDArray[np.int64]) -> Pixels:
        """Those rows, corrupted, channels last."""
        clean = next(blocks(self.whole.source, len(rows), rows))
        return corrupt(
            clean,
            self.corruption,
            self.severity,
            seed=self.whole.seed,
            indices=rows,
            frost_photos=self.whole.photos,
        )

    def _remembered(self, rows: NDArray[np.int64]) -> Pixels:
        """Those rows, from memory as far as they were asked for before."""
        if self.fingerprint not in _REMEMBERED:
            shape = (len(self), self.image_size, self.image_size, self.channels)
            _remember(self.fingerprint, np.empty(shape, np.uint8))
        pixels, known = _REMEMBERED[self.fingerprint]
        missing = np.unique(rows[~known[rows]])
        if len(missing):
            pixels[missing] = self._rendered(missing)
            known[missing] = True
        return pixels[rows]


#: Rows of small cells that were rendered, and which, by fingerprint: what one evaluation has
#: rendered, that of the next checkpoint need not.
_REMEMBERED: dict[str, tuple[Pixels, NDArray[np.bool_]]] = {}


def _remember(fingerprint: str, pixels: Pixels) -> None:
    """Make room for a cell; the oldest ones go."""
    _REMEMBERED[fingerprint] = (pixels, np.zeros(len(pixels), dtype=bool))
    while sum(held.nbytes for held, _ in _REMEMBERED.values()) > KEPT:
        del _REMEMBERED[next(iter(_REMEMBERED))]
