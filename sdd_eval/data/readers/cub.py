"""CUB-200-2011: 200 species of birds, with the official split.

Source: C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie, "The Caltech-UCSD Birds-200-2011
Dataset", 2011.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import published
from sdd_eval.data.image_folder import Boxes
from sdd_eval.data.images import class_indices
from sdd_eval.data.readers.photographs import Listing, PhotographSet
from sdd_eval.errors import InputError, file_errors

IMAGES, LABELS, SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
BOXES = "bounding_boxes.txt"


def listings(base: Path) -> Mapping[str, Listing]:
    """Read the files and classes of each split; raise InputError for contradictory lists."""
    files = _table(base / IMAGES, 1)
    labels, training = (_numbers(base / name, files, 1)[:, 0] for name in (LABELS, SPLIT))
    if not np.isin(training, (0, 1)).all():
        image = list(files)[np.flatnonzero(~np.isin(training, (0, 1)))[0]]
        raise InputError(f"{base / SPLIT} has a value other than 0 and 1 for image {image}")
    names = np.array([name for (name,) in files.values()])
    rows = {"train": training == 1, "test": training == 0}
    indices = class_indices(labels, len(files), base / LABELS, first=1, floats=True)
    return {split: Listing(names[mask].tolist(), indices[mask]) for split, mask in rows.items()}


def boxes(base: Path, files: Sequence[str]) -> Boxes:
    """Read the box of each image from left, top, width and height; raise InputError if missing."""
    images = _table(base / IMAGES, 1)
    corners = _numbers(base / BOXES, images, 4)
    corners[:, 2:] += corners[:, :2]
    by_file = {name: box for (name,), box in zip(images.values(), corners, strict=True)}
    return np.round([by_file[file] for file in files]).astype(np.int64).reshape(-1, 4)


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    """Read a list: each line has an image's id and `columns` further columns."""
    try:
        with file_errors("read", path):
            lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    table = {}
    for number, line in enumerate(lines, start=1):
        image, *fields = line.split() or [""]
        if len(fields) != columns:
            raise InputError(f"{path}: line {number} is {line!r}, not an id and {columns} columns")
        table[image] = fields
    return table


def _numbers(path: Path, images: Mapping[str, object], columns: int) -> NDArray[np.float64]:
    """Read numbers (images, columns) in the order of `images`."""
    table = _table(path, columns)
    missing = next((image for image in images if image not in table), None)
    if missing is not None:
        raise InputError(f"{path} does not list image {missing}, which {IMAGES} does")
    try:
        return np.array([table[image] for image in images], dtype=np.float64).reshape(-1, columns)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


CUB200 = PhotographSet(listings=listings, **published("cub200"))
CUB200_CROPPED = dataclasses.replace(
    CUB200, name="cub200_cropped", summary="cub200, each bird cropped to its box", boxes=boxes
)
