"""Images with boxes in COCO's format, as its publisher lays them out.

NAME/annotations/instances_train2017.json, instances_val2017.json; NAME/train2017/, NAME/val2017/.
Any folder of that layout will do: the split's one file `instances_SPLIT*.json` names its folder of
images. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sdd_eval.data.catalogue import folder_names
from sdd_eval.data.fingerprints import of_file, of_folder, of_parts
from sdd_eval.data.origin import USERS_FOLDER, judged
from sdd_eval.data.root import data_root
from sdd_eval.detection.annotations import Annotations, read_annotations
from sdd_eval.errors import InputError, unknown_name

ANNOTATIONS = "annotations"
#: How many images the splits of COCO 2017 have.
PUBLISHED = {"train": 118_287, "val": 5_000}


@dataclass(frozen=True)
class CocoSet:
    """A split: its files of images, and what is annotated in them."""

    name: str
    split: str
    folder: Path
    annotations: Annotations
    fingerprint: str
    origin: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.annotations.files)

    def pixels(self, index: int, channels: int = 3) -> NDArray[np.uint8]:
        """An image, uint8 (channels, height, width).

        Raises:
            InputError: the file is no image, or of another size than is annotated.
        """
        path = self.folder / self.annotations.files[index]
        try:
            with Image.open(path) as image:
                pixels: NDArray[np.uint8] = np.array(image.convert("RGB" if channels == 3 else "L"))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise InputError(f"cannot read {path} as an image: {error}") from error
        height, width = self.annotations.sizes[index].tolist()
        if pixels.shape[:2] != (height, width):
            found = f"{pixels.shape[1]} × {pixels.shape[0]}"
            raise InputError(f"{path} is {found} pixels, its annotations say {width} × {height}")
        shaped: NDArray[np.uint8] = pixels.reshape(height, width, -1).transpose(2, 0, 1)
        return shaped


def read_coco(name: str, root: Path | None, split: str) -> CocoSet:
    """The split "train" or "val" of a set: a folder below the data root, or a path.

    Raises:
        InputError: it is not there or not of that layout, its annotations are broken, or an image
            that they name is missing.
    """
    place = _place(name, data_root(root))
    path = _annotation_file(place, split)
    annotations = read_annotations(path)
    folder = place / path.stem.removeprefix("instances_")
    _refuse_missing(folder, annotations.files)
    content = of_folder(folder, annotations.files)
    official = place.name == "coco"
    count = len(annotations.files)
    return CocoSet(
        name=place.name,
        split=split,
        folder=folder,
        annotations=annotations,
        fingerprint=of_parts(of_file(path).sha256, content),
        origin=judged(count, PUBLISHED[split], False) if official else USERS_FOLDER,
    )


def _place(name: str, root: Path) -> Path:
    """The folder of a set."""
    for place in (root / name, Path(name).expanduser()):
        if name.strip("./") and (place / ANNOTATIONS).is_dir():
            return place.resolve()
    for place in (root / name, Path(name).expanduser()):
        if name.strip("./") and place.is_dir():
            raise InputError(f"{place} is not laid out as COCO: it has no folder {ANNOTATIONS}")
    known = [each for each in folder_names(root) if (root / each / ANNOTATIONS).is_dir()]
    raise unknown_name(f"set of COCO's format in {root}", name, known)


def _annotation_file(place: Path, split: str) -> Path:
    """The split's file of annotations; that of 2017 where there are several."""
    found = sorted((place / ANNOTATIONS).glob(f"instances_{split}*.json"))
    if len(found) > 1:
        found = [path for path in found if path.stem.endswith("2017")] or found
    if len(found) != 1:
        said = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{place / ANNOTATIONS} must have one file instances_{split}*.json, such as "
            f"instances_{split}2017.json, not {said}"
        )
    return found[0]


def _refuse_missing(folder: Path, files: tuple[str, ...]) -> None:
    """Refuse a set of which images are missing, naming the first."""
    there: set[str] = set()
    for base, _, names in os.walk(folder):
        below = Path(base).relative_to(folder)
        there.update((below / name).as_posix() for name in names)
    absent = [file for file in files if file not in there]
    if absent:
        more = f", and {len(absent) - 1:,} more of {len(files):,}" if len(absent) > 1 else ""
        raise InputError(f"{folder / absent[0]} is not there, but annotated{more}")


def provenance(found: CocoSet) -> dict[str, Any]:
    """What a run says of its data."""
    return {"origin": found.origin, "fingerprint": found.fingerprint, "images": len(found)}
