"""What a data set plugin is: a name that becomes images, and what is known of its publisher's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sdd_eval.data.annotations import Annotations
from sdd_eval.data.images import ImageSet, Pixels
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A file to download; `folder` is where it belongs, relative to the data root."""

    url: str
    md5: str
    filename: str
    folder: str = "."
    unpack: bool = True
    size: int | None = None


@dataclass(frozen=True)
class Status:
    """What is on the disk of a set: `origin` as in `ImageSet`, or "absent"."""

    provenance: str
    images: int
    location: str

    @property
    def present(self) -> bool:
        """Whether there is anything to load."""
        return self.provenance != "absent"


class Dataset(Protocol):
    """A data set plugin: an object of this shape behind an entry point of `sdd_eval.datasets`."""

    @property
    def name(self) -> str:
        """The catalogue's name."""

    @property
    def summary(self) -> str:
        """One line: what it is, and where it is from."""

    @property
    def archives(self) -> tuple[Archive, ...]:
        """What `sdd-eval data get` fetches; empty for sets that need no download or have none."""

    def status(self, root: Path) -> Status:
        """What is on the disk below the data root; quick, checksums only from the cache."""

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ImageSet:
        """The images of a split ("train" or "test").

        `image_size` and `channels` are what the network takes: sets without a size of their own
        (folders, noise, patches) come in that shape, sets with one are refused if it differs.

        Raises:
            InputError: the set is absent (the message names the command that gets it), broken, or
                of another shape.
        """


class DetectionSet(Protocol):
    """Images of any size with the objects in them: what a plugin's `load_objects` gives."""

    @property
    def name(self) -> str:
        """The catalogue's name, or the folder's."""

    @property
    def annotations(self) -> Annotations:
        """What is in which image, and where."""

    @property
    def fingerprint(self) -> str:
        """sha256 of pixels and annotations, in hex."""

    @property
    def provenance(self) -> str:
        """As in `ImageSet`."""

    def __len__(self) -> int:
        """How many images there are."""

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """An image, uint8 (channels, height, width), grey or in colour as asked for.

        Raises:
            InputError: it cannot be read, or is of another size than is annotated.
        """


class CorruptedSet(Protocol):
    """A test set in many renderings: the same images in the same order, corrupted."""

    @property
    def name(self) -> str:
        """The catalogue's name, e.g. "cifar100_c", or NAME_c_regenerated."""

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions that are there, of the 19, in the order of the recipe."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the content, or of what determines it."""

    @property
    def provenance(self) -> str:
        """As in `ImageSet`; "regenerated" where the recipe of this package made it."""

    @property
    def frost(self) -> str:
        """Where frost is from: "official", "synthetic", "photographs" or "unknown"."""

    def cell(self, corruption: str, severity: int) -> ImageSet:
        """The images of one corruption at one severity, 1 to 5."""


def missing_dataset(name: str, location: Path, downloadable: bool) -> InputError:
    """The error for a set that is not on the disk; it names the commands that mend it."""
    get = f"`sdd-eval data get {name}` downloads it, " if downloadable else ""
    add = f"`sdd-eval data add {name} PATH` places what you have"
    return InputError(f"{name} is not there ({location}); {get}{add}")


def require_split(name: str, split: str, *splits: str) -> None:
    """Refuse a split that a set does not have.

    Raises:
        InputError: it is none of `splits`.
    """
    if split not in splits:
        raise InputError(f"{name} has no {split!r} images, only {' and '.join(splits)}")


def require_shape(images: ImageSet, image_size: int | None, channels: int | None) -> None:
    """Refuse a set with a size of its own where the network takes another.

    Raises:
        InputError: side or channels differ from what is asked for.
    """
    wanted = (channels or images.channels, image_size or images.image_size)
    if wanted != (images.channels, images.image_size):
        raise InputError(
            f"{images.name} has {images.channels}-channel images of {images.image_size} pixels, "
            f"the network takes {wanted[0]} channels and {wanted[1]} pixels"
        )
