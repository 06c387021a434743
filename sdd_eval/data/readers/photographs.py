"""Labelled photographs with published lists of splits, labels and boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.data.dataset import Archive, Reader, Shape, Status, missing_dataset, require_split
from sdd_eval.data.fingerprints import (
    array_fingerprint,
    cached_folder_fingerprint,
    folder_fingerprint,
    value_fingerprint,
)
from sdd_eval.data.image_folder import Boxes, FolderImages, image_files, resize_side
from sdd_eval.data.images import Labels
from sdd_eval.data.provenance import ABSENT, assess, is_verified
from sdd_eval.errors import InputError

SIDE = 224
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Listing:
    """The published list of a split's images, some of which may be missing."""

    files: Sequence[str]
    """Paths below the folder of images, each in the folder of its class."""
    labels: Labels


@dataclass(frozen=True)
class PhotographSet(Reader):
    """Photographs below `folder`/`images`, read at the network's size: 224 by default.

    The short side is resized to 8/7 of that size (256), followed by a centre crop.
    """

    name: str
    summary: str
    folder: str
    images: str
    """Folder of images, below `folder`."""
    lists: tuple[str, ...]
    """List files, below `folder`."""
    listings: Callable[[Path], Mapping[str, Listing]]
    """Reads the listing of each split from `folder`."""
    published: Mapping[str, int]
    """Number of images of each split."""
    boxes: Callable[[Path, Sequence[str]], Boxes] | None = None
    """Reads the box of each image from `folder`; None for no cropping."""
    annotations: str | None = None
    """Folder of further published files."""
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Return what is on disk of the test images; reads lists and file names only."""
        base = root / self.folder
        if not self._listed(base):
            return Status(ABSENT, 0, str(base))
        existing = self._existing(base)
        count = sum(file in existing for file in self.listings(base)["test"].files)
        content = cached_folder_fingerprint(base, self._files(base, existing))
        return Status(self._provenance(root, "test", count, content), count, str(base))

    def read(self, root: Path, split: str, shape: Shape) -> FolderImages:
        """Load the images of a split that exist, in the order of the published list."""
        require_split(self.name, split, *SPLITS)
        base = root / self.folder
        if not self._listed(base):
            raise missing_dataset(self.name, base, bool(self.archives))
        existing, listings = self._existing(base), self.listings(base)
        listing = listings[split]
        rows = [row for row, file in enumerate(listing.files) if file in existing]
        if not rows:
            raise InputError(f"{base / self.images} contains no image of the {split} list")
        files = tuple(listing.files[row] for row in rows)
        content = folder_fingerprint(base, self._files(base, existing))
        boxes = None if self.boxes is None else self.boxes(base, files)
        side = shape.side or SIDE
        return FolderImages(
            name=self.name,
            folder=base / self.images,
            files=files,
            image_size=side,
            channels=shape.channels or 3,
            labels=listing.labels[rows],
            fingerprint=value_fingerprint(content, split, array_fingerprint(boxes)),
            provenance=self._provenance(root, split, len(files), content),
            class_names=_class_names(base, listings),
            resize=resize_side(side),
            boxes=boxes,
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """Return the sha256 of the names and contents of images, lists and annotations."""
        base = root / self.folder
        return folder_fingerprint(base, self._files(base, self._existing(base)), fresh=fresh)

    def _listed(self, base: Path) -> bool:
        return (base / self.images).is_dir() and all((base / n).is_file() for n in self.lists)

    def _existing(self, base: Path) -> frozenset[str]:
        return frozenset(image_files(base / self.images))

    def _files(self, base: Path, existing: frozenset[str]) -> tuple[str, ...]:
        annotations: list[str] = []
        if self.annotations is not None:
            paths = (base / self.annotations).rglob("[!.]*")
            annotations = [str(path.relative_to(base)) for path in paths if path.is_file()]
        return (*self.lists, *(f"{self.images}/{name}" for name in existing), *annotations)

    def _provenance(self, root: Path, split: str, count: int, content: str | None) -> str:
        return assess(count, self.published[split], is_verified(root, content))


def _class_names(base: Path, listings: Mapping[str, Listing]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for listing in listings.values():
        for file, label in zip(listing.files, listing.labels.tolist(), strict=True):
            name = file.split("/")[0]
            if names.setdefault(label, name) != name:
                raise InputError(f"{base}: class {label + 1} is both {names[label]} and {name}")
    missing = [label for label in range(max(names, default=-1) + 1) if label not in names]
    if missing:
        raise InputError(f"{base}: its lists have no image of class {missing[0] + 1}")
    return tuple(names[label] for label in range(len(names)))


def class_indices(path: Path, labels: Any) -> Labels:
    """Convert labels that start at 1 to class indices; raise InputError for other labels."""
    indices: Labels = np.asarray(labels, dtype=np.int64) - 1
    if len(indices) and indices.min() < 0:
        raise InputError(f"{path} has the label {indices.min() + 1}; its labels start at 1")
    return indices
