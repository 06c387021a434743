"""Labelled photographs whose split, labels and boxes the publisher gives in files of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdd_eval.data.dataset import Archive, Status, missing_dataset, require_split
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
    """The images of a split as the publisher lists them, whether they are there or not."""

    files: Sequence[str]
    """Below the folder of images, each in the folder of its class."""
    labels: Labels


@dataclass(frozen=True)
class PhotographSet:
    """Photographs below `folder`/`images`, streamed at the size of the network: 224 by default.

    For testing the short side is scaled to 8/7 of that size (256) and the centre cut out.
    """

    name: str
    summary: str
    folder: str
    images: str
    """The folder of images, below `folder`."""
    lists: tuple[str, ...]
    """The files of lists, below `folder`."""
    listings: Callable[[Path], Mapping[str, Listing]]
    """From `folder` to the listing of each split."""
    published: Mapping[str, int]
    """How many images each split has."""
    boxes: Callable[[Path, Sequence[str]], Boxes] | None = None
    """From `folder` and images to the box of each; None leaves the photographs whole."""
    annotations: str | None = None
    """A folder of further files of the publisher's."""
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """What there is of the test images; lists and names are read, images are not."""
        place = root / self.folder
        if not self._listed(place):
            return Status(ABSENT, 0, str(place))
        there = self._there(place)
        count = sum(file in there for file in self.listings(place)["test"].files)
        content = cached_folder_fingerprint(place, self._files(place, there))
        return Status(self._origin(root, "test", count, content), count, str(place))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> FolderImages:
        """The images of a split that are there, in the order of the publisher's list."""
        require_split(self.name, split, *SPLITS)
        place = root / self.folder
        if not self._listed(place):
            raise missing_dataset(self.name, place, bool(self.archives))
        there, listings = self._there(place), self.listings(place)
        listing = listings[split]
        kept = [row for row, file in enumerate(listing.files) if file in there]
        if not kept:
            raise InputError(f"{place / self.images} holds no image of the {split} list")
        files = tuple(listing.files[row] for row in kept)
        content = folder_fingerprint(place, self._files(place, there))
        boxes = None if self.boxes is None else self.boxes(place, files)
        side = image_size or SIDE
        return FolderImages(
            name=self.name,
            folder=place / self.images,
            files=files,
            image_size=side,
            channels=channels or 3,
            labels=listing.labels[kept],
            fingerprint=value_fingerprint(content, split, array_fingerprint(boxes)),
            provenance=self._origin(root, split, len(files), content),
            class_names=_class_names(place, listings),
            resize=resize_side(side),
            boxes=boxes,
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of the names and contents of the images, lists and annotations."""
        place = root / self.folder
        return folder_fingerprint(place, self._files(place, self._there(place)), fresh=fresh)

    def _listed(self, place: Path) -> bool:
        """Whether the publisher's lists are there, and a folder of images."""
        return (place / self.images).is_dir() and all((place / n).is_file() for n in self.lists)

    def _there(self, place: Path) -> frozenset[str]:
        """The image files that are there."""
        return frozenset(image_files(place / self.images))

    def _files(self, place: Path, there: frozenset[str]) -> tuple[str, ...]:
        """Every file that belongs to the set, below `place`."""
        further: list[str] = []
        if self.annotations is not None:
            found = (place / self.annotations).rglob("[!.]*")
            further = [str(path.relative_to(place)) for path in found if path.is_file()]
        return (*self.lists, *(f"{self.images}/{name}" for name in there), *further)

    def _origin(self, root: Path, split: str, count: int, content: str | None) -> str:
        return assess(count, self.published[split], is_verified(root, content))


def _class_names(place: Path, listings: Mapping[str, Listing]) -> tuple[str, ...]:
    """The folder that the images of each class lie in.

    Raises:
        InputError: a class has images in two folders, or none.
    """
    found: dict[int, str] = {}
    for listing in listings.values():
        for file, label in zip(listing.files, listing.labels.tolist(), strict=True):
            name = file.split("/")[0]
            if found.setdefault(label, name) != name:
                raise InputError(f"{place}: class {label + 1} is both {found[label]} and {name}")
    absent = [label for label in range(max(found, default=-1) + 1) if label not in found]
    if absent:
        raise InputError(f"{place}: its lists have no image of class {absent[0] + 1}")
    return tuple(found[label] for label in range(len(found)))


def class_indices(path: Path, labels: Sequence[int]) -> Labels:
    """Labels that count from 1 as class indices.

    Raises:
        InputError: one is below 1.
    """
    found = np.asarray(labels, dtype=np.int64) - 1
    if len(found) and found.min() < 0:
        raise InputError(f"{path} has the label {found.min() + 1}; its labels begin at 1")
    return found
