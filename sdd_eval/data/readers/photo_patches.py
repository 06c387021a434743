"""Patches of scikit-learn's two photographs: a natural OOD set that needs no download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sdd_eval.data.dataset import Archive, Status, require_split
from sdd_eval.data.fingerprints import array_fingerprint
from sdd_eval.data.images import ArrayImages, Pixels
from sdd_eval.data.provenance import MADE_HERE

#: Sides of the patches before resizing, in pixels of the photographs (427 × 640).
SIDES = (32, 48, 72, 108, 162)
#: Patches per row and per column of each photograph at each side.
GRID = 10
COUNT = 2 * len(SIDES) * GRID * GRID


@dataclass(frozen=True)
class PhotoPatches:
    """1,000 patches: 2 photographs × 5 sides × a regular grid of 10 × 10, resized to the input.

    Neighbours overlap at the larger sides, so there are fewer than 1,000 independent images.
    """

    name: str = "photo_patches"
    summary: str = "1,000 patches of the two photographs that ship with scikit-learn"
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Return the status of the patches, which are always present."""
        return Status(MADE_HERE, COUNT, "scikit-learn")

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ArrayImages:
        """Return the patches; by default 3 channels of 32 pixels."""
        from sklearn.datasets import load_sample_images

        require_split(self.name, split, "test")
        mode = "L" if channels == 1 else "RGB"
        photographs = [Image.fromarray(array) for array in load_sample_images().images]
        patches = [
            _patch(photograph.convert(mode), box, image_size or 32)
            for photograph in photographs
            for box in _boxes(*photograph.size)
        ]
        pixels = np.stack(patches)
        return ArrayImages(self.name, pixels, None, array_fingerprint(pixels), MADE_HERE)


def _boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Return left, top, right and bottom of every patch; each grid spans the photograph."""
    boxes = []
    for side in SIDES:
        for top in np.linspace(0, height - side, GRID).round().astype(int).tolist():
            for left in np.linspace(0, width - side, GRID).round().astype(int).tolist():
                boxes.append((left, top, left + side, top + side))
    return boxes


def _patch(photograph: Image.Image, box: tuple[int, int, int, int], side: int) -> Pixels:
    """Return one patch (channels, side, side), antialiased if downsampled."""
    patch = photograph.crop(box).resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(patch)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


PHOTO_PATCHES = PhotoPatches()
