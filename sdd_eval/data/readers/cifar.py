"""CIFAR-10 and CIFAR-100 from the official pickles.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.data.dataset import (
    Archive,
    Reader,
    Shape,
    Status,
    missing_dataset,
    published,
    require_split,
)
from sdd_eval.data.fingerprints import Digests, array_fingerprint, cached_file_digests, file_digests
from sdd_eval.data.images import ArrayImages, Labels, Pixels, class_indices
from sdd_eval.data.provenance import ABSENT, assess
from sdd_eval.data.readers.foreign_formats import read_pickle
from sdd_eval.errors import InputError

SIDE = 32


@dataclass(frozen=True)
class Cifar(Reader):
    """One of the two sets; `train`, `test` and `meta` map file names to the published md5."""

    name: str
    summary: str
    folder: str
    classes: int
    labels_key: str
    names_key: str
    train: dict[str, str]
    test: dict[str, str]
    meta: dict[str, str]
    archives: tuple[Archive, ...]
    published: tuple[int, int] = (50_000, 10_000)
    """Numbers of training and test images."""

    @property
    def checksums(self) -> dict[str, str]:
        """The published md5 of each file, by path below the data root."""
        files = {**self.meta, **self.test, **self.train}
        return {f"{self.folder}/{name}": md5 for name, md5 in files.items()}

    def status(self, root: Path) -> Status:
        """Return the state of the test images, read only if their checksum is not cached."""
        folder = root / self.folder
        if not all((folder / name).is_file() for name in self.test):
            return Status(ABSENT, 0, str(folder))
        verified = self._verified(root, self.test, cached_file_digests)
        paths = [] if verified else [folder / name for name in self.test]
        counts = [len(_checked_images(path, read_pickle(path))) for path in paths]
        count = self.published[1] if verified else sum(counts)
        return Status(assess(count, self.published[1], verified), count, str(folder))

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Load the images of a split (n, 3, 32, 32), with fine labels."""
        require_split(self.name, split, "train", "test")
        files = self.train if split == "train" else self.test
        count = self.published[0 if split == "train" else 1]
        folder = root / self.folder
        for name in (*files, *self.meta):
            if not (folder / name).is_file():
                raise missing_dataset(self.name, folder / name, bool(self.archives))
        parts = [self._part(folder / name) for name in files]
        pixels = np.concatenate([part[0] for part in parts])
        labels = np.concatenate([part[1] for part in parts])
        provenance = assess(len(pixels), count, self._verified(root, files, file_digests))
        names = self._class_names(folder)
        fingerprint = array_fingerprint(pixels, labels)
        return ArrayImages(self.name, pixels, labels, fingerprint, provenance, names)

    def _verified(
        self, root: Path, files: dict[str, str], digests: Callable[[Path], Digests | None]
    ) -> bool:
        for name, md5 in {**files, **self.meta}.items():
            sums = digests(root / self.folder / name)
            if sums is None or sums.md5 != md5:
                return False
        return True

    def _part(self, path: Path) -> tuple[Pixels, Labels]:
        data = read_pickle(path)
        pixels = _checked_images(path, data)
        labels = class_indices(data.get(self.labels_key), len(pixels), path, classes=self.classes)
        return pixels, labels

    def _class_names(self, folder: Path) -> tuple[str, ...]:
        (file,) = self.meta
        names = read_pickle(folder / file).get(self.names_key)
        if not isinstance(names, list) or len(names) != self.classes:
            raise InputError(f"{folder / file} does not list {self.classes} class names")
        return tuple(str(name) for name in names)


def _checked_images(path: Path, data: dict[str, Any]) -> Pixels:
    pixels = data.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise InputError(f"{path} has no uint8 array 'data'")
    if pixels.ndim != 2 or pixels.shape[1] != 3 * SIDE * SIDE:
        raise InputError(f"{path} has images of shape {pixels.shape[1:]}, not 3,072 values each")
    return pixels.reshape(-1, 3, SIDE, SIDE)


CIFAR10, CIFAR100 = (Cifar(**published(name)) for name in ("cifar10", "cifar100"))
