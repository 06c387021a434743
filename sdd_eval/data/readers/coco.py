"""COCO 2017, and any folder of its layout: photographs with the boxes of the objects in them.

Source: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sdd_eval.data.annotations import Annotations, read_annotations
from sdd_eval.data.dataset import Archive, Status, missing_dataset, require_split
from sdd_eval.data.fingerprints import (
    cached_folder_fingerprint,
    file_digests,
    folder_fingerprint,
    value_fingerprint,
)
from sdd_eval.data.image_folder import FolderImages, image_files, resize_side
from sdd_eval.data.images import Pixels
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER, assess, is_verified
from sdd_eval.errors import InputError

#: The size at which the photographs are looked at where none is asked for.
SIDE = 224


@dataclass(frozen=True)
class CocoFolder:
    """Photographs below `folder` (relative to the data root, or absolute) in COCO's layout.

    "test" is what COCO calls val. As a set of images they have no labels, since an image shows
    objects of many categories. `published` is how many images each split has; None marks a folder
    of the user's.
    """

    name: str
    summary: str
    folder: str
    published: Mapping[str, int] | None = None
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """What there is of the test images; names are read, images and annotations are not."""
        place = root / self.folder
        if not is_coco(place):
            return Status(ABSENT, 0, str(place))
        count = len(image_files(images_folder(annotation_file(place, "test"))))
        return Status(self._origin(root, "test", count), count, str(place))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> FolderImages:
        """The images of a split as a network for images sees them, without labels."""
        folder = images_folder(self._annotated(root, split))
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder} holds no images")
        side = image_size or SIDE
        return FolderImages(
            name=self.name,
            folder=folder,
            files=files,
            image_size=side,
            channels=channels or 3,
            labels=None,
            fingerprint=folder_fingerprint(folder, files),
            provenance=self._origin(root, split, len(files)),
            resize=resize_side(side),
        )

    def load_objects(self, root: Path, split: str = "test") -> CocoImages:
        """The images that the annotations of a split name, with the objects in them.

        Raises:
            InputError: the set is absent, its annotations are broken, or an image that they name is
                missing.
        """
        path = self._annotated(root, split)
        annotations, folder = read_annotations(path), images_folder(path)
        refuse_missing(folder, annotations.files)
        return CocoImages(
            name=self.name,
            folder=folder,
            annotations=annotations,
            fingerprint=value_fingerprint(
                file_digests(path).sha256, folder_fingerprint(folder, annotations.files)
            ),
            provenance=self._origin(root, split, len(annotations.files)),
        )

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of the names and contents of both splits' images and annotations."""
        place = root / self.folder
        return folder_fingerprint(place, self._files(place), fresh=fresh)

    def _annotated(self, root: Path, split: str) -> Path:
        """The file of annotations of a split."""
        require_split(self.name, split, *SPLITS)
        place = root / self.folder
        if not is_coco(place):
            raise missing_dataset(self.name, place, bool(self.archives))
        return annotation_file(place, split)

    def _files(self, place: Path) -> tuple[str, ...]:
        """Every file that belongs to the set, below `place`."""
        found: list[str] = []
        for split in SPLITS:
            with contextlib.suppress(InputError):  # a split that is not there
                annotated = annotation_file(place, split)
                folder = images_folder(annotated)
                images = [f"{folder.name}/{name}" for name in image_files(folder)]
                found += [f"{annotated.parent.name}/{annotated.name}", *images]
        return tuple(found)

    def _origin(self, root: Path, split: str, count: int) -> str:
        """How far a split is its publisher's.

        Of 123,287 photographs only what the cache knows is compared: they are hashed when they are
        downloaded, and by `sdd-eval data check`.
        """
        if self.published is None:
            return USERS_FOLDER
        if count != self.published[split]:
            return assess(count, self.published[split], False)
        place = root / self.folder
        verified = is_verified(root, cached_folder_fingerprint(place, self._files(place)))
        return assess(count, self.published[split], verified)


def _archive(address: str, md5: str, size: int) -> Archive:
    url = f"http://images.cocodataset.org/{address}"
    return Archive(url, md5, filename=url.split("/")[-1], folder="coco", size=size)


COCO = CocoFolder(
    name="coco",
    summary="5,000 test, 118,287 training photographs with boxes of objects in 80 categories",
    folder="coco",
    published={"train": 118_287, "test": 5_000},
    archives=(
        _archive("zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80", 815_585_330),
        _archive(
            "annotations/annotations_trainval2017.zip",
            "f4bbac642086de4f52a3fdda2de5fa2c",
            252_907_541,
        ),
        _archive("zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798),
    ),
)


ANNOTATIONS = "annotations"
#: What COCO calls the splits.
SPLITS = {"train": "train", "test": "val"}


@dataclass(frozen=True)
class CocoImages:
    """A split: its files of images, and what is annotated in them; a `DetectionSet`."""

    name: str
    folder: Path
    annotations: Annotations
    fingerprint: str
    provenance: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.annotations.files)

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """An image, uint8 (channels, height, width).

        Raises:
            InputError: the file is no image, or of another size than is annotated.
        """
        path = self.folder / self.annotations.files[index]
        try:
            with Image.open(path) as image:
                pixels: Pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise InputError(f"cannot read {path} as an image: {error}") from error
        height, width = self.annotations.sizes[index].tolist()
        if pixels.shape[:2] != (height, width):
            found = f"{pixels.shape[1]} × {pixels.shape[0]}"
            raise InputError(f"{path} is {found} pixels, its annotations say {width} × {height}")
        shaped: Pixels = pixels.reshape(height, width, -1).transpose(2, 0, 1)
        return shaped


def is_coco(place: Path) -> bool:
    """Whether a folder is laid out as COCO is."""
    return any((place / ANNOTATIONS).glob("instances_*.json"))


def annotation_file(place: Path, split: str) -> Path:
    """The file of annotations of "train" or "test"; that of 2017 where there are several.

    Raises:
        InputError: there is none, or more than one.
    """
    pattern = f"instances_{SPLITS[split]}"
    found = sorted((place / ANNOTATIONS).glob(f"{pattern}*.json"))
    if len(found) > 1:
        found = [path for path in found if path.stem.endswith("2017")] or found
    if len(found) != 1:
        said = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{place / ANNOTATIONS} must have one file {pattern}*.json, such as "
            f"{pattern}2017.json, not {said}"
        )
    return found[0]


def images_folder(annotated: Path) -> Path:
    """The folder of the images that a file of annotations is about."""
    return annotated.parents[1] / annotated.stem.removeprefix("instances_")


def refuse_missing(folder: Path, files: Sequence[str]) -> None:
    """Refuse a set of which images are missing.

    Raises:
        InputError: naming the first.
    """
    there: set[str] = set()
    for base, _, names in os.walk(folder):
        below = Path(base).relative_to(folder)
        there.update((below / name).as_posix() for name in names)
    absent = [file for file in files if file not in there]
    if absent:
        more = f", and {len(absent) - 1:,} more of {len(files):,}" if len(absent) > 1 else ""
        raise InputError(f"{folder / absent[0]} is not there, but annotated{more}")
