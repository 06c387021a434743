"""Folders of images: ImageNet, DTD, ODIN's OOD sets, and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

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
    resize_side,
    split_folders,
    unwrap,
)
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER, assess, is_verified
from sdd_eval.errors import InputError

#: The default size of photographs.
LARGEST = 224


@dataclass(frozen=True)
class FolderSet(Reader):
    """Image files below `folder` (relative to the data root, or absolute), read as needed.

    Sub-folders are classes. Images are returned at the network's size: short side to that size (256
    for 224, see `resize_side`), then a centre crop. `published` and `published_train` are the
    publisher's numbers of test and training images; None for a user's folder. `side` is the default
    size (None: that of the first image, at most 224). `margin` of 32 pixels are cropped rather than
    resized, as ODIN does with its 36 × 36 images.
    """

    name: str
    summary: str
    folder: str
    published: int | None = None
    published_train: int | None = None
    side: int | None = None
    margin: int = 0
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """Return what is on disk; only file names are read."""
        base = root / self.folder
        if not base.is_dir():
            return Status(ABSENT, 0, str(base))
        folder = self._split(root, "test")
        files = image_files(folder)
        hashed = files and self.published is not None
        content = cached_folder_fingerprint(folder, files) if hashed else None
        return Status(self._provenance(root, "test", len(files), content), len(files), str(base))

    def read(self, root: Path, split: str, shape: Shape) -> FolderImages:
        """Load the images of a split; "train" only if the folder contains `train/`."""
        if not (root / self.folder).is_dir():
            raise missing_dataset(self.name, root / self.folder, bool(self.archives))
        folder = self._split(root, split)
        files = image_files(folder)
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
            provenance=self._provenance(root, split, len(files), content),
            class_names=class_names,
            resize=self._resize(side),
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """Return the sha256 of the names and contents of the images."""
        folder = self._split(root, "test")
        return folder_fingerprint(folder, image_files(folder), fresh=fresh)

    def _split(self, root: Path, split: str) -> Path:
        """Return the folder of a split; without split folders, all images are test images."""
        folder = unwrap(root / self.folder)
        splits = split_folders(folder) or {"test": folder}
        require_split(self.name, split, *splits)
        # Below train/ and test/ even a sole sub-folder is a class, not a wrapper.
        return splits[split] if "train" in splits else unwrap(splits[split])

    def _class_names(self, root: Path, folder: Path, files: tuple[str, ...]) -> tuple[str, ...]:
        """Return the classes of the training images if there are any, so that splits agree."""
        training = split_folders(unwrap(root / self.folder)).get("train", folder)
        return class_folders(training, files if training == folder else image_files(training))

    def _provenance(self, root: Path, split: str, count: int, content: str | None) -> str:
        expected = self.published_train if split == "train" else self.published
        if expected is None:
            return USERS_FOLDER
        return assess(count, expected, is_verified(root, content))

    def _resize(self, side: int) -> int | None:
        """Return the short side before the crop; None to leave the image unchanged."""
        if self.margin and side == 32:
            return None
        return round(side * (32 + self.margin) / 32) if self.margin else resize_side(side)


def _format(path: Path) -> tuple[int, int]:
    """Return the length of an image's shorter side, and its channels, 1 or 3."""
    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L", "I;16", "I", "F")
            return min(image.size), 1 if grey else 3
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read {path} as an image: {error}") from error


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
