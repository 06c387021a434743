"""SVHN, cropped digits, from the official `.mat` files.

Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning",
2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import (
    Archive,
    Reader,
    Shape,
    Status,
    missing_dataset,
    published,
    require_split,
)
from sdd_eval.data.fingerprints import array_fingerprint, cached_file_digests, file_digests
from sdd_eval.data.images import ArrayImages, Labels, Pixels, class_indices
from sdd_eval.data.provenance import ABSENT, assess
from sdd_eval.data.readers.foreign_formats import read_matlab
from sdd_eval.data.splits import rank_within_class
from sdd_eval.errors import InputError

COUNTS = {"test": 26_032, "train": 73_257}
MD5 = {"test": "eb5a983be6a315427106f1b164d9cef3", "train": "e26dedcc434d2e4c54c9b2d4a06d8373"}


@dataclass(frozen=True)
class Svhn(Reader):
    """House numbers; the test set is the first `per_class` images of each class, in file order.

    The first 1,000 of each class make up 10,000 images, as in the closest published code. The
    provenance refers to the whole file: "partial: 50 of 26,032".
    """

    name: str
    summary: str
    per_class: int | None
    archives: tuple[Archive, ...]
    folder: str = "svhn"

    @property
    def checksums(self) -> dict[str, str]:
        """The published md5 of the test file (the only downloaded file), by path."""
        return {f"{self.folder}/test_32x32.mat": MD5["test"]}

    def status(self, root: Path) -> Status:
        """Return the state of the test images, read only if the checksum is not cached."""
        path = self._path(root, "test")
        if not path.is_file():
            return Status(ABSENT, 0, str(path))
        digests = cached_file_digests(path)
        verified = digests is not None and digests.md5 == MD5["test"]
        if verified and self.per_class:
            return Status("official", 10 * self.per_class, str(path))
        labels = _labels(path)
        images = len(_first_of_each(labels, self.per_class))
        return Status(assess(len(labels), COUNTS["test"], verified), images, str(path))

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Load images (n, 3, 32, 32) with labels 0 to 9; all of them for the split "train"."""
        require_split(self.name, split, "train", "test")
        path = self._path(root, split)
        if not path.is_file():
            raise missing_dataset(self.name, path, split == "test")
        pixels, labels = _read(path)
        verified = file_digests(path).md5 == MD5[split]
        provenance = assess(len(labels), COUNTS[split], verified)
        rows = _first_of_each(labels, self.per_class if split == "test" else None)
        pixels, labels = pixels[rows], labels[rows]
        names = tuple(str(digit) for digit in range(10))
        return ArrayImages(
            self.name, pixels, labels, array_fingerprint(pixels, labels), provenance, names
        )

    def _path(self, root: Path, split: str) -> Path:
        return root / self.folder / f"{split}_32x32.mat"


def _read(path: Path) -> tuple[Pixels, Labels]:
    stored = read_matlab(path, "X", "y")["X"]
    labels = _labels(path)
    if stored.dtype != np.uint8 or stored.shape != (32, 32, 3, len(labels)):
        raise InputError(
            f"{path} has X of {stored.dtype} {stored.shape}, not uint8 (32, 32, 3, {len(labels):,})"
        )
    return np.ascontiguousarray(stored.transpose(3, 2, 0, 1)), labels


def _labels(path: Path) -> Labels:
    """Read the digits 0 to 9; the file stores 0 as 10."""
    stored = read_matlab(path, "y")["y"]
    return (class_indices(stored, stored.size, path, first=1, classes=10, floats=True) + 1) % 10


def _first_of_each(labels: Labels, per_class: int | None) -> NDArray[np.int64]:
    """Return the rows of the first images of each class, in file order; all if None."""
    return np.flatnonzero(rank_within_class(labels) < (per_class or len(labels)))


SVHN, SVHN_ALL = (Svhn(**published(name)) for name in ("svhn", "svhn_all"))
