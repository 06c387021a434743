"""CUB-200-2011: 200 species of birds, with the official split.

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


def listings(base: Path) -> Mapping[str, Listing]:
    """Read the files and classes of each split; raise InputError for contradictory lists."""
    files = _table(base / IMAGES, 1)
    labels = _numbers(base / LABELS, files, 1)
    training = _numbers(base / SPLIT, files, 1)
    splits = {}
    for split, flag in (("train", 1), ("test", 0)):
        ids = [image for image in files if training[image] == [flag]]
        indices = class_indices(base / LABELS, [int(labels[image][0]) for image in ids])
        splits[split] = Listing(tuple(files[image][0] for image in ids), indices)
    invalid = next((image for image in files if training[image][0] not in (0, 1)), None)
    if invalid is not None:
        raise InputError(f"{base / SPLIT} has a value other than 0 and 1 for image {invalid}")
    return splits


def boxes(base: Path, files: Sequence[str]) -> Boxes:
    """Read the box of each image from left, top, width and height; raise InputError if missing."""
    images = _table(base / IMAGES, 1)
    sizes = _numbers(base / BOXES, images, 4)
    by_file = {fields[0]: sizes[image] for image, fields in images.items()}
    values = np.array([by_file[file] for file in files]).reshape(-1, 4)
    corners = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)
    return np.round(corners).astype(np.int64)


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    """Read a list: the id of an image and `columns` further columns per line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {cause}") from error
    table = {}
    for number, line in enumerate(lines, start=1):
        image, *fields = line.split() or [""]
        if len(fields) != columns:
            raise InputError(f"{path}: line {number} is {line!r}, not an id and {columns} columns")
        table[image] = fields
    return table


def _numbers(path: Path, images: Mapping[str, object], columns: int) -> dict[str, list[float]]:
    table = _table(path, columns)
    missing = next((image for image in images if image not in table), None)
    if missing is not None:
        raise InputError(f"{path} does not list image {missing}, which {IMAGES} does")
    try:
        return {image: [float(field) for field in fields] for image, fields in table.items()}
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


CUB200 = PhotographSet(
    name="cub200",
    summary="5,794 test and 5,994 training photographs of 200 species of birds, 224×224",
    folder="CUB_200_2011",
    images="images",
    lists=(IMAGES, LABELS, SPLIT, BOXES),
    listings=listings,
    published={"train": 5994, "test": 5794},
    archives=(
        Archive.at(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            "97eceeb196236b17998738112f37df78",
        ),
    ),
)

CUB200_CROPPED = dataclasses.replace(
    CUB200, name="cub200_cropped", summary="cub200, each bird cropped to its box", boxes=boxes
)
