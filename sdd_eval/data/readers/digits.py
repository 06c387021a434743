"""The 1,797 handwritten digits that ship with scikit-learn: 8×8, grey, ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdd_eval.data.dataset import Archive, Status
from sdd_eval.data.fingerprints import of_arrays
from sdd_eval.data.images import ArrayImages
from sdd_eval.data.provenance import OFFICIAL, require_shape, require_split

TRAIN, TEST = 1000, 797


@dataclass(frozen=True)
class Digits:
    """The first 1,000 digits train, the last 797 test.

    The writers come in blocks, so this split tests on writers that were mostly not trained on; a
    random split would not. Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
    Digits", UCI Machine Learning Repository, 1998.
    """

    name: str = "digits"
    summary: str = "1,797 handwritten digits, 8×8 grey, 10 classes; ships with scikit-learn"
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Always there."""
        return Status(OFFICIAL, TEST, "scikit-learn")

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ArrayImages:
        """The digits of a split; their 17 grey values are spread over 0 to 255."""
        from sklearn.datasets import load_digits

        require_split(self.name, split, "train", "test")
        rows = slice(0, TRAIN) if split == "train" else slice(TRAIN, TRAIN + TEST)
        found = load_digits()
        pixels = np.round(found.images[rows] * 255 / 16).astype(np.uint8)[:, None]
        labels = found.target[rows].astype(np.int64)
        names = tuple(str(digit) for digit in range(10))
        images = ArrayImages(self.name, pixels, labels, of_arrays(pixels, labels), OFFICIAL, names)
        require_shape(images, image_size, channels)
        return images


DIGITS = Digits()
