"""COCO 2017, and folders in its layout: photographs with annotated objects.

The layout is `annotations/instances_train2017.json`, `annotations/instances_val2017.json`,
`train2017/` and `val2017/`; `instances_NAME.json` annotates the images in `NAME/`. Source: T.-Y.
Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdd_eval.data.annotations import Annotations, read_annotations
from sdd_eval.data.dataset import Shape, published, require_split
from sdd_eval.data.fingerprints import file_digests, folder_fingerprint, value_fingerprint
from sdd_eval.data.image_folder import FolderImages, image_files, read_image, resize_side
from sdd_eval.data.images import Pixels
from sdd_eval.data.readers.folders import FileReader
from sdd_eval.errors import InputError

#: The default image size.
SIDE = 224


ANNOTATIONS = "annotations"
#: COCO's names of the splits.
SPLITS = {"train": "train", "test": "val"}


@dataclass(frozen=True)
class CocoImages:
    """The annotated images of a split; a `DetectionSet`."""

    name: str
    folder: Path
    annotations: Annotations
    fingerprint: str
    provenance: str

    def __len__(self) -> int:
        return len(self.annotations.files)

    def pixels(self, index: int, channels: int = 3) -> Pixels:
        """Return an image, uint8 (channels, height, width); InputError if its size differs."""
        path = self.folder / self.annotations.files[index]
        pixels: Pixels = np.array(read_image(path, channels))
        height, width = self.annotations.sizes[index].tolist()
        if pixels.shape[:2] != (height, width):
            size = f"{pixels.shape[1]} × {pixels.shape[0]}"
            raise InputError(f"{path} is {size} pixels, but annotated as {width} × {height}")
        shaped: Pixels = pixels.reshape(height, width, -1).transpose(2, 0, 1)
        return shaped


def is_coco(folder: Path) -> bool:
    """Return whether a folder has COCO's layout."""
    return any((folder / ANNOTATIONS).glob("instances_*.json"))


def annotation_file(folder: Path, split: str) -> Path:
    """Return a split's annotation file, 2017's if several; raise InputError unless there is one."""
    pattern = f"instances_{SPLITS[split]}"
    paths = sorted((folder / ANNOTATIONS).glob(f"{pattern}*.json"))
    if len(paths) > 1:
        paths = [path for path in paths if path.stem.endswith("2017")] or paths
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise InputError(
            f"{folder / ANNOTATIONS} must have one file {pattern}*.json, such as "
            f"{pattern}2017.json, not {names}"
        )
    return paths[0]


def images_folder(annotations: Path) -> Path:
    """Return the image folder of an annotation file."""
    return annotations.parents[1] / annotations.stem.removeprefix("instances_")


def require_files(folder: Path, files: Sequence[str]) -> None:
    """Raise InputError, naming the first, if an annotated image is missing."""
    existing = frozenset(image_files(folder))
    missing = [file for file in files if file not in existing]
    if missing:
        more = f", as are {len(missing) - 1:,} more of {len(files):,}" if len(missing) > 1 else ""
        raise InputError(f"{folder / missing[0]} is annotated but missing{more}")


@dataclass(frozen=True)
class CocoFolder(FileReader):
    """Photographs in COCO's layout, with annotated objects.

    The split "test" is COCO's val. As a set of images they are unlabelled, since an image shows
    objects of several categories.
    """

    def is_present(self, base: Path) -> bool:
        """Return whether annotations exist."""
        return is_coco(base)

    def count(self, root: Path) -> int:
        """Return the number of test images on disk."""
        return len(image_files(images_folder(annotation_file(root / self.folder, "test"))))

    def hashed_files(self, root: Path, split: str) -> tuple[Path, list[str]]:
        """Return the images and annotations of both splits."""
        base, files = root / self.folder, list[str]()
        for name in SPLITS:
            with contextlib.suppress(InputError):  # a missing split
                path = annotation_file(base, name)
                folder = images_folder(path)
                images = [f"{folder.name}/{file}" for file in image_files(folder)]
                files += [f"{ANNOTATIONS}/{path.name}", *images]
        return base, files

    def read(self, root: Path, split: str, shape: Shape) -> FolderImages:
        """Load the images of a split without labels, as input of a classifier."""
        folder = images_folder(self._annotation_file(root, split))
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder} contains no images")
        side = shape.side or SIDE
        return FolderImages(
            name=self.name,
            folder=folder,
            files=files,
            image_size=side,
            channels=shape.channels or 3,
            labels=None,
            fingerprint=folder_fingerprint(folder, files),
            provenance=self.provenance(root, split, len(files)),
            resize=resize_side(side),
        )

    def load_objects(self, root: Path, split: str = "test") -> CocoImages:
        """Load a split's images and objects; raise InputError if any is missing or broken."""
        path = self._annotation_file(root, split)
        annotations, folder = read_annotations(path), images_folder(path)
        require_files(folder, annotations.files)
        content = folder_fingerprint(folder, annotations.files)
        fingerprint = value_fingerprint(file_digests(path).sha256, content)
        # The 123,287 photographs are only hashed when downloaded and by `sdd-eval data check`.
        provenance = self.provenance(root, split, len(annotations.files))
        return CocoImages(self.name, folder, annotations, fingerprint, provenance)

    def _annotation_file(self, root: Path, split: str) -> Path:
        require_split(self.name, split, *SPLITS)
        return annotation_file(self.require_present(root), split)


COCO = CocoFolder(**published("coco"))
