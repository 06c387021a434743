"""CUB-200-2011: 200 kinds of birds, with the official split.

Source: C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie, "The Caltech-UCSD Birds-200-2011
Dataset", 2011.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sdd_eval.data.dataset import Archive
from sdd_eval.data.image_folder import Boxes
from sdd_eval.data.readers.photographs import Listing, PhotographSet, class_indices
from sdd_eval.errors import InputError

IMAGES, LABELS, SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
BOXES = "bounding_boxes.txt"


def listings(place: Path) -> Mapping[str, Listing]:
    """The files and classes of each split, in the order of images.txt.

    Raises:
        InputError: a list cannot be read, or two of them do not fit each other.
    """
    files = _table(place / IMAGES, 1)
    labels = _numbers(place / LABELS, files, 1)
    training = _numbers(place / SPLIT, files, 1)
    found = {}
    for split, flag in (("train", 1), ("test", 0)):
        kept = [image for image in files if training[image] == [flag]]
        indices = class_indices(place / LABELS, [int(labels[image][0]) for image in kept])
        found[split] = Listing(tuple(files[image][0] for image in kept), indices)
    strange = next((image for image in files if training[image][0] not in (0, 1)), None)
    if strange is not None:
        raise InputError(f"{place / SPLIT} has neither 0 nor 1 for image {strange}")
    return found


def boxes(place: Path, files: Sequence[str]) -> Boxes:
    """The box of each image; the file gives left, top, width and height.

    Raises:
        InputError: a list cannot be read, or lacks an image.
    """
    images = _table(place / IMAGES, 1)
    sizes = _numbers(place / BOXES, images, 4)
    of_file = {fields[0]: sizes[image] for image, fields in images.items()}
    found = np.array([of_file[file] for file in files]).reshape(-1, 4)
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)
    return np.round(corners).astype(np.int64)


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    """The lines of a list: a number of the image, and so many columns.

    Raises:
        InputError: the file cannot be read, or a line is another one.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {cause}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        image, *fields = line.split() or [""]
        if len(fields) != columns:
            raise InputError(f"{path}: line {number} is {line!r}, not an image and {columns} more")
        found[image] = fields
    return found


def _numbers(path: Path, images: Mapping[str, object], columns: int) -> dict[str, list[float]]:
    """The numbers that a list gives for each image.

    Raises:
        InputError: it lacks an image, or a number is none.
    """
    found = _table(path, columns)
    lacking = next((image for image in images if image not in found), None)
    if lacking is not None:
        raise InputError(f"{path} lacks image {lacking}, which {IMAGES} has")
    try:
        return {image: [float(field) for field in fields] for image, fields in found.items()}
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


CUB200 = PhotographSet(
    name="cub200",
    summary="5,794 test and 5,994 training photographs of 200 kinds of birds, 224×224",
    folder="CUB_200_2011",
    images="images",
    lists=(IMAGES, LABELS, SPLIT, BOXES),
    listings=listings,
    published={"train": 5994, "test": 5794},
    archives=(
        Archive(
            url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            md5="97eceeb196236b17998738112f37df78",
            filename="CUB_200_2011.tgz",
        ),
    ),
)

CUB200_CROPPED = dataclasses.replace(
    CUB200,
    name="cub200_cropped",
    summary="cub200, each bird cut out by its box",
    boxes=boxes,
)
