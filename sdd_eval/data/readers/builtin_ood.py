"""Out-of-distribution (OOD) sets that need no download: noise and patches of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from sdd_eval.data.dataset import Reader, Shape, Status, require_split
from sdd_eval.data.fingerprints import array_fingerprint, value_fingerprint
from sdd_eval.data.images import ArrayImages, ComputedImages, Pixels
from sdd_eval.data.provenance import MADE_HERE
from sdd_eval.randomness import derived_seed

#: Incremented whenever an image changes.
VERSION = 1


@dataclass(frozen=True)
class Noise(Reader):
    """Independent values for every pixel and channel.

    Both kinds are ODIN's: uniform on [0, 1], and Gaussian with mean 0.5 and standard deviation 1,
    clipped to [0, 1] (a third of the values on each end). ODIN uses 10,000 images; 2,000 give the
    same threshold metrics to about a percent (AUPR depends on the number of images, which is
    reported with it). Source: S. Liang, Y. Li, R. Srikant, "Enhancing the Reliability of
    Out-of-Distribution Image Detection in Neural Networks", 2018.
    """

    name: str
    summary: str
    kind: Literal["uniform", "gaussian"]
    count: int = 2000

    def status(self, root: Path) -> Status:
        """Return the status of generated images, which are always present."""
        return Status(MADE_HERE, self.count, "random numbers")

    def read(self, root: Path, split: str, shape: Shape) -> ComputedImages:
        """Return the images, identical in every call; by default 3 channels of 32 pixels."""
        require_split(self.name, split, "test")
        side, channels = shape.side or 32, shape.channels or 3

        def generate(index: int) -> Pixels:
            random = np.random.default_rng(derived_seed(0, f"noise {self.kind}", index))
            if self.kind == "uniform":
                values = random.random((channels, side, side), dtype=np.float32)
            else:
                normal = random.standard_normal((channels, side, side), dtype=np.float32)
                values = np.clip(normal + 0.5, 0, 1)
            return np.round(255 * values).astype(np.uint8)

        return ComputedImages(
            name=self.name,
            labels=None,
            image_size=side,
            channels=channels,
            fingerprint=value_fingerprint(
                self.name, self.kind, self.count, side, channels, VERSION
            ),
            provenance=MADE_HERE,
            total=self.count,
            compute=lambda rows: np.stack([generate(int(row)) for row in rows]),
        )


UNIFORM = Noise("uniform", "uniform noise on [0, 1]; generated", "uniform")
GAUSSIAN = Noise("gaussian", "Gaussian noise N(0.5, 1) clipped to [0, 1]; generated", "gaussian")


#: Sides of the patches before resizing, in pixels of the photographs (427 × 640).
SIDES = (32, 48, 72, 108, 162)
#: Patches per row and per column of each photograph at each side.
GRID = 10
COUNT = 2 * len(SIDES) * GRID * GRID


@dataclass(frozen=True)
class PhotoPatches(Reader):
    """1,000 patches: 2 photographs × 5 sides × a regular grid of 10 × 10, resized to the input.

    Neighbours overlap at the larger sides, so there are fewer than 1,000 independent images.
    """

    name: str = "photo_patches"
    summary: str = "1,000 patches of the two photographs that ship with scikit-learn"

    def status(self, root: Path) -> Status:
        """Return the status of the patches, which are always present."""
        return Status(MADE_HERE, COUNT, "scikit-learn")

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Return the patches; by default 3 channels of 32 pixels."""
        from sklearn.datasets import load_sample_images

        require_split(self.name, split, "test")
        mode = "L" if shape.channels == 1 else "RGB"
        photographs = [Image.fromarray(array) for array in load_sample_images().images]
        patches = [
            _patch(photograph.convert(mode), box, shape.side or 32)
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
