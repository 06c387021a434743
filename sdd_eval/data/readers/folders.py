"""Folders of images: ImageNet, DTD, ODIN's OOD sets, and the user's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.data.dataset import (
    Archive,
    Reader,
    Shape,
    Status,
    missing_dataset,
    published,
    require_split,
)
from sdd_eval.data.fingerprints import cached_folder_fingerprint, folder_fingerprint
from sdd_eval.data.image_folder import (
    FolderImages,
    class_folders,
    folder_labels,
    image_files,
    opened_image,
    printable,
    resize_side,
    split_folders,
    unwrap,
)
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER, assess, is_verified
from sdd_eval.errors import InputError

#: The default size of photographs.
LARGEST = 224


@dataclass(frozen=True)
class FileReader(Reader):
    """Base class of readers of image files below `folder` (relative to the data root, or absolute).

    `published` are the publisher's numbers of images by split; None for a user's folder.
    """

    name: str
    summary: str
    folder: str
    published: Mapping[str, int] | None = None
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Return the state of the test images on disk; only reads lists and file names."""
        base = root / self.folder
        if not self.is_present(base):
            return Status(ABSENT, 0, str(base))
        count = self.count(root)
        return Status(self.provenance(root, "test", count), count, str(base))

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """Return the sha256 of names and contents; `fresh` bypasses the cache."""
        return folder_fingerprint(*self.hashed_files(root, "test"), fresh=fresh)

    def require_present(self, root: Path) -> Path:
        """Return the set's folder; raise InputError if it is not on disk."""
        if not self.is_present(root / self.folder):
            raise missing_dataset(self.name, root / self.folder, bool(self.archives))
        return root / self.folder

    def provenance(self, root: Path, split: str, count: int, content: str | None = None) -> str:
        """Return the provenance by count and content hash (by default the cached one)."""
        expected = (self.published or {}).get(split)
        if expected is None:
            return USERS_FOLDER
        if content is None and count == expected:
            content = cached_folder_fingerprint(*self.hashed_files(root, split))
        return assess(count, expected, is_verified(root, content))

    @abstractmethod
    def is_present(self, base: Path) -> bool:
        """Return whether a folder has the set's layout."""

    @abstractmethod
    def count(self, root: Path) -> int:
        """Return the number of test images on disk."""

    @abstractmethod
    def hashed_files(self, root: Path, split: str) -> tuple[Path, Sequence[str]]:
        """Return a folder and the files below it that identify the content."""


@dataclass(frozen=True)
class FolderSet(FileReader):
    """Image files in any folder, read as needed.

    Sub-folders are classes. Images are returned at the network's size: short side to that size (256
    for 224, see `resize_side`), then a centre crop. `side` is the default size (None: that of the
    first image, at most 224). Images of 32 + `margin` pixels are cropped, not resized, to 32, as in
    ODIN with its 36 × 36 images.
    """

    side: int | None = None
    margin: int = 0

    def is_present(self, base: Path) -> bool:
        """Return whether the folder exists."""
        return base.is_dir()

    def count(self, root: Path) -> int:
        """Return the number of test images on disk."""
        return len(self.hashed_files(root, "test")[1])

    def hashed_files(self, root: Path, split: str) -> tuple[Path, tuple[str, ...]]:
        """Return the folder and the images of a split."""
        folder = self._split(root, split)
        return folder, image_files(folder)

    def read(self, root: Path, split: str, shape: Shape) -> FolderImages:
        """Load the images of a split; "train" only if the folder contains `train/`."""
        self.require_present(root)
        folder, files = self.hashed_files(root, split)
        if not files:
            raise InputError(f"{folder} contains no images")
        class_names = self._class_names(root, folder, files)
        content = folder_fingerprint(folder, files)
        short_side, channels = _format(folder / files[0])
        side = shape.side or self.side or min(short_side, LARGEST)
        return FolderImages(
            name=self.name,
            folder=folder,
            files=files,
            image_size=side,
            channels=shape.channels or (3 if self.side else channels),
            labels=folder_labels(folder, files, class_names),
            fingerprint=content,
            provenance=self.provenance(root, split, len(files), content),
            class_names=tuple(map(printable, class_names)),
            resize=self._resize(side),
        )

    def _split(self, root: Path, split: str) -> Path:
        """Return the folder of a split; without split folders, all images are test images."""
        folder = unwrap(root / self.folder)
        splits = split_folders(folder) or {"test": folder}
        require_split(self.name, split, *splits)
        # Below train/ and test/, even an only sub-folder is a class, not a wrapper.
        return splits[split] if "train" in splits else unwrap(splits[split])

    def _class_names(self, root: Path, folder: Path, files: tuple[str, ...]) -> tuple[str, ...]:
        """Return the classes of the training images, if any, so that the splits agree."""
        training = split_folders(unwrap(root / self.folder)).get("train", folder)
        return class_folders(training, files if training == folder else image_files(training))

    def _resize(self, side: int) -> int | None:
        """Return the short side before the crop; None to leave the image unchanged."""
        if self.margin and side == 32:
            return None
        return round(side * (32 + self.margin) / 32) if self.margin else resize_side(side)


def _format(path: Path) -> tuple[int, int]:
    """Return the length of an image's shorter side, and its channels, 1 or 3."""
    with opened_image(path) as image:
        grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
        return min(image.size), 1 if grey else 3


#: ImageNet in torchvision's layout: train/n01440764/…, val/n01440764/…; classes in the order of
#: these names. O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015.
IMAGENET = FolderSet(**published("imagenet"))

#: M. Cimpoi et al., "Describing Textures in the Wild", 2014; release 1.0.1.
DTD = FolderSet(**published("dtd"))

#: ODIN's OOD sets (S. Liang, Y. Li, R. Srikant, 2018).
LSUN_CROP, LSUN_RESIZE, ISUN, IMAGENET_CROP, IMAGENET_RESIZE = (
    FolderSet(**published(name))
    for name in ("lsun_crop", "lsun_resize", "isun", "imagenet_crop", "imagenet_resize")
)
