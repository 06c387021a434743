"""Labelled photographs with published lists of splits, labels and boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval.data.dataset import Shape, require_split
from sdd_eval.data.fingerprints import array_fingerprint, value_fingerprint
from sdd_eval.data.image_folder import Boxes, FolderImages, image_files, resize_side
from sdd_eval.data.images import Labels
from sdd_eval.data.readers.folders import FileReader
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
class PhotographSet(FileReader):
    """Photographs below `folder`/`images`, read at the network's size, by default 224.

    The short side is resized to 8/7 of that size (256) before a centre crop.
    """

    images: str = "images"
    """Folder of images, below `folder`."""
    lists: tuple[str, ...] = ()
    """List files, below `folder`."""
    listings: Callable[[Path], Mapping[str, Listing]] = field(kw_only=True)
    """Reads the listing of each split from `folder`."""
    boxes: Callable[[Path, Sequence[str]], Boxes] | None = None
    """Reads the box of each image from `folder`; None for no cropping."""
    annotations: str | None = None
    """Folder of additional published files."""

    def is_present(self, base: Path) -> bool:
        """Return whether the folder of images and all lists exist."""
        return (base / self.images).is_dir() and all((base / n).is_file() for n in self.lists)

    def count(self, root: Path) -> int:
        """Return the number of listed test images on disk."""
        base = root / self.folder
        existing = frozenset(image_files(base / self.images))
        return sum(file in existing for file in self.listings(base)["test"].files)

    def hashed_files(self, root: Path, split: str) -> tuple[Path, list[str]]:
        """Return lists, images and annotations."""
        base = root / self.folder
        files = [*self.lists, *(f"{self.images}/{n}" for n in image_files(base / self.images))]
        if self.annotations is not None:
            paths = (base / self.annotations).rglob("[!.]*")
            files += [str(path.relative_to(base)) for path in paths if path.is_file()]
        return base, files

    def read(self, root: Path, split: str, shape: Shape) -> FolderImages:
        """Load the existing images of a split, in the order of the published list."""
        require_split(self.name, split, *SPLITS)
        base = self.require_present(root)
        existing, listings = frozenset(image_files(base / self.images)), self.listings(base)
        listing = listings[split]
        rows = [row for row, file in enumerate(listing.files) if file in existing]
        if not rows:
            raise InputError(f"{base / self.images} contains no image of the {split} list")
        files = tuple(listing.files[row] for row in rows)
        content = self.content(root)
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
            provenance=self.provenance(root, split, len(files), content),
            class_names=_class_names(base, listings),
            resize=resize_side(side),
            boxes=boxes,
        )


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
