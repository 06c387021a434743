"""Folders of images: ImageNet, DTD and ODIN's outlier sets as published, and any of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdd_eval.data.dataset import Archive, Status, missing_dataset, require_split
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

#: The size at which a folder of photographs is looked at where none is asked for.
LARGEST = 224


@dataclass(frozen=True)
class FolderSet:
    """Image files below `folder` (relative to the data root, or absolute), streamed.

    Sub-folders are classes. Images come in the size of the network: short side to that size (to 256
    for 224, see `enlarged`), then a centre crop. `published` is the publisher's count of
    test images, `published_train` that of training images; None marks a folder of the user's.
    `side` is the size where nothing else is asked for (None: the first image's, 224 at most).
    `margin` pixels of 32 are cut off rather than scaled away, as ODIN does with its 36 × 36.
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
        """What is there; names are read, images are not."""
        place = root / self.folder
        if not place.is_dir():
            return Status(ABSENT, 0, str(place))
        folder = self._split(root, "test")
        files = image_files(folder)
        content = (
            cached_folder_fingerprint(folder, files)
            if files and self.published is not None
            else None
        )
        return Status(self._origin(root, "test", len(files), content), len(files), str(place))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> FolderImages:
        """The images of a split; "train" only where the folder holds `train/`."""
        if not (root / self.folder).is_dir():
            raise missing_dataset(self.name, root / self.folder, bool(self.archives))
        folder = self._split(root, split)
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder} holds no images")
        class_names = self._class_names(root, files)
        content = folder_fingerprint(folder, files)
        side = image_size or self.side or min(_short_side(folder / files[0]), LARGEST)
        return FolderImages(
            name=self.name,
            folder=folder,
            files=files,
            image_size=side,
            channels=channels or (3 if self.side else _channels(folder / files[0])),
            labels=folder_labels(folder, files, class_names),
            fingerprint=content,
            provenance=self._origin(root, split, len(files), content),
            class_names=class_names,
            resize=self._resize(side),
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of the names and contents of the images."""
        folder = self._split(root, "test")
        return folder_fingerprint(folder, image_files(folder), fresh=fresh)

    def _split(self, root: Path, split: str) -> Path:
        """The folder of a split; where there are no splits, all images are for testing."""
        folder = unwrap(root / self.folder)
        found = split_folders(folder) or {"test": folder}
        require_split(self.name, split, *found)
        # Below train/ and test/ even a single sub-folder is a class, not a wrapping.
        return found[split] if "train" in found else unwrap(found[split])

    def _class_names(self, root: Path, files: tuple[str, ...]) -> tuple[str, ...]:
        """The classes of the training images where there are any: both splits count alike."""
        training = split_folders(unwrap(root / self.folder)).get("train")
        return class_folders(files if training is None else image_files(training))

    def _origin(self, root: Path, split: str, count: int, content: str | None) -> str:
        published = self.published_train if split == "train" else self.published
        if published is None:
            return USERS_FOLDER
        return assess(count, published, is_verified(root, content))

    def _resize(self, side: int) -> int | None:
        """To what the short side is scaled before the crop; None leaves the image as it is."""
        if self.margin and side == 32:
            return None
        return round(side * (32 + self.margin) / 32) if self.margin else resize_side(side)


def _short_side(path: Path) -> int:
    with _opened(path) as image:
        return int(min(image.size))


def _channels(path: Path) -> int:
    with _opened(path) as image:
        return 1 if image.mode in ("1", "L", "I;16", "I", "F") else 3


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is not an image that can be read: {error}") from error


#: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015, as torchvision
#: lays it out: train/n01440764/…, val/n01440764/…; its classes in the order of these names.
IMAGENET = FolderSet(
    name="imagenet",
    summary="50,000 test, 1,281,167 training photographs of 1,000 classes; image-net.org (login)",
    folder="imagenet",
    published=50_000,
    published_train=1_281_167,
    side=224,
)

#: M. Cimpoi et al., "Describing Textures in the Wild", 2014; release 1.0.1.
DTD = FolderSet(
    name="dtd",
    summary="5,640 textures of 47 kinds, scaled to the network's size and cropped",
    folder="dtd/images",
    published=5640,
    side=32,
    archives=(
        Archive(
            url="https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
            filename="dtd-r1.0.1.tar.gz",
        ),
    ),
)

# The other five are the outlier sets of ODIN (S. Liang, Y. Li, R. Srikant, 2018).
LSUN_CROP = FolderSet(
    name="lsun_crop",
    summary="10,000 scenes of LSUN, ODIN's crops of 36 × 36, centre 32",
    folder="LSUN",
    published=10_000,
    side=32,
    margin=4,
    archives=(
        Archive(
            url="https://www.dropbox.com/s/fhtsw1m3qxlwj6h/LSUN.tar.gz?dl=1",
            md5="458a0a0ab8e5f1cb4516d7400568e460",
            filename="LSUN.tar.gz",
        ),
    ),
)

LSUN_RESIZE = FolderSet(
    name="lsun_resize",
    summary="10,000 scenes of LSUN, ODIN's, scaled to 32 × 32",
    folder="LSUN_resize",
    published=10_000,
    side=32,
    archives=(
        Archive(
            url="https://www.dropbox.com/s/moqh2wh8696c3yl/LSUN_resize.tar.gz?dl=1",
            md5="278b7b31c8cb7e804a1465a8ce03a2dc",
            filename="LSUN_resize.tar.gz",
        ),
    ),
)

ISUN = FolderSet(
    name="isun",
    summary="8,925 scenes of iSUN, ODIN's, 32 × 32",
    folder="iSUN",
    published=8925,
    side=32,
    archives=(
        Archive(
            url="https://www.dropbox.com/s/ssz7qxfqae0cca5/iSUN.tar.gz?dl=1",
            md5="be77b0f2c26fda898afac5f99645ee70",
            filename="iSUN.tar.gz",
        ),
    ),
)

IMAGENET_CROP = FolderSet(
    name="imagenet_crop",
    summary="10,000 images of TinyImageNet, ODIN's crops, centre 32",
    folder="Imagenet",
    published=10_000,
    side=32,
    margin=4,
    archives=(
        Archive(
            url="https://www.dropbox.com/s/avgm2u562itwpkl/Imagenet.tar.gz?dl=1",
            md5="7c0827e4246c3718a5ee076e999e52e5",
            filename="Imagenet.tar.gz",
        ),
    ),
)

IMAGENET_RESIZE = FolderSet(
    name="imagenet_resize",
    summary="10,000 images of TinyImageNet, ODIN's, scaled to 32 × 32",
    folder="Imagenet_resize",
    published=10_000,
    side=32,
    archives=(
        Archive(
            url="https://www.dropbox.com/s/kp3my3412u5k9rl/Imagenet_resize.tar.gz?dl=1",
            md5="0f9ff11d45babf2eff5fe12281d1ac31",
            filename="Imagenet_resize.tar.gz",
        ),
    ),
)
