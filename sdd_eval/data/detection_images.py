"""Images of any size with the objects annotated in them, in COCO's layout.

annotations/instances_train2017.json, instances_val2017.json; train2017/, val2017/. Any folder of
that layout will do: the split's one file `instances_SPLIT*.json` names its folder of images. Lin et
al., "Microsoft COCO: Common Objects in Context", ECCV 2014; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sdd_eval.data.images import Pixels
from sdd_eval.data.readers.coco_annotations import Annotations
from sdd_eval.errors import InputError

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
    origin: str

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
