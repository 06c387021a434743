"""The data set plugin protocols, the archives they download, and checks that readers share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sdd_eval.data.annotations import Annotations
from sdd_eval.data.images import Described, ImageSet, Pixels
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A file to download; `folder` is its target folder, relative to the data root."""

    url: str
    md5: str
    filename: str
    folder: str = "."
    unpack: bool = True
    size: int | None = None


def published(name: str) -> dict[str, Any]:
    """Return the fields of a published set's reader, as listed in `published.json`."""
    content = Path(__file__).with_name("published.json").read_bytes()
    fields: dict[str, Any] = json.loads(content)[name]
    archives = tuple(Archive(**archive) for archive in fields.pop("archives", ()))
    return {"name": name, "archives": archives, **fields}


@dataclass(frozen=True)
class Status:
    """The state of a set on disk: `provenance` as in `ImageSet`, or "absent"."""

    provenance: str
    images: int
    location: str

    @property
    def present(self) -> bool:
        """Whether the set is on disk."""
        return self.provenance != "absent"


class DatasetPlugin(Protocol):
    """A data set plugin: an object with this interface, an entry point of `sdd_eval.datasets`."""

    @property
    def name(self) -> str:
        """Name in the catalogue."""

    @property
    def summary(self) -> str:
        """One-line description of the set."""

    @property
    def archives(self) -> tuple[Archive, ...]:
        """Archives that `sdd-eval data get` downloads; empty if there are none."""

    def status(self, root: Path) -> Status:
        """Return the state of the set below the data root: fast, checksums only from the cache."""

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ImageSet:
        """Load the images of a split ("train" or "test").

        `image_size` and `channels` describe the network's input. Sets without a fixed size
        (folders, noise, patches) are returned in that shape; sets with one must match it. Raise
        InputError if the set is absent (the message names the command that downloads it) or broken,
        or has another shape.
        """


@dataclass(frozen=True)
class Shape:
    """The shape of the network's input: side in pixels and channels; None for the set's own."""

    side: int | None = None
    channels: int | None = None


class Reader(ABC):
    """Base class of the built-in plugins: `load` also checks the images' shape."""

    #: Downloadable sets have a field of this name.
    archives: tuple[Archive, ...] = ()

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ImageSet:
        """Load the images of a split, as `DatasetPlugin.load` does."""
        images = self.read(root, split, Shape(image_size, channels))
        require_shape(images, image_size, channels)
        return images

    @abstractmethod
    def read(self, root: Path, split: str, shape: Shape) -> ImageSet:
        """Read the images of a split, in this shape if the set has no fixed size."""


class DetectionSet(Described, Protocol):
    """Images of any size with annotated objects, as a plugin's `load_objects` returns them."""

    @property
    def annotations(self) -> Annotations:
        """The annotated objects of each image."""

    def __len__(self) -> int:
        """Return the number of images."""

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """Return an image, uint8 (channels, height, width); raise InputError if unreadable."""


class CorruptedSet(Described, Protocol):
    """A test set under several corruptions: the same images in the same order."""

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Those of the 19 corruptions that are available, in the order of the benchmark."""

    @property
    def frost(self) -> str:
        """Source of the frost: "official", "synthetic", "photographs" or "unknown"."""

    def cell(self, corruption: str, severity: int) -> ImageSet:
        """Return the images of one corruption at one severity, 1 to 5."""


def missing_dataset(name: str, location: Path, downloadable: bool) -> InputError:
    """Return the error for a set that is not on disk; it names the commands that add the set."""
    get = f"`sdd-eval data get {name}` downloads it, " if downloadable else ""
    add = f"`sdd-eval data add {name} PATH` adds a local copy"
    return InputError(f"{name} was not found ({location}); {get}{add}")


def require_split(name: str, split: str, *splits: str) -> None:
    """Raise InputError if `split` is not one of the `splits` of a set."""
    if split not in splits:
        raise InputError(f"{name} has no split {split!r}, only {' and '.join(splits)}")


def require_shape(images: ImageSet, image_size: int | None, channels: int | None) -> None:
    """Raise InputError if images differ from the network's input; None matches any."""
    expected = (channels or images.channels, image_size or images.image_size)
    if expected != (images.channels, images.image_size):
        raise InputError(
            f"{images.name} has {images.channels}-channel images of {images.image_size} pixels, "
            f"but the network takes {expected[0]} channels and {expected[1]} pixels"
        )
