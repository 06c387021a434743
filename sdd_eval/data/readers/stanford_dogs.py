"""Stanford Dogs: 120 breeds, cropped to their boxes as in the paper, or uncropped.

Source: A. Khosla, N. Jayadevaprakash, B. Yao, L. Fei-Fei, "Novel Dataset for Fine-Grained Image
Categorization", FGVC workshop at CVPR 2011.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from sdd_eval.data.dataset import published
from sdd_eval.data.files import require_regular
from sdd_eval.data.image_folder import Boxes
from sdd_eval.data.images import class_indices
from sdd_eval.data.readers.foreign_formats import read_matlab
from sdd_eval.data.readers.photographs import SPLITS, Listing, PhotographSet
from sdd_eval.errors import InputError, file_errors

EDGES = ("xmin", "ymin", "xmax", "ymax")


def listings(base: Path) -> Mapping[str, Listing]:
    """Read the files and classes of each split; raise InputError for a broken list."""
    return {split: _listing(base / f"{split}_list.mat") for split in SPLITS}


def boxes(base: Path, files: Sequence[str]) -> Boxes:
    """Read the box of the first dog of each image; raise InputError if one has no box."""
    edges = [_box((base / "Annotation" / file).with_suffix("")) for file in files]
    return np.array(edges, dtype=np.int64).reshape(-1, 4)


def _listing(path: Path) -> Listing:
    lists = read_matlab(path, "file_list", "labels")
    files = [str(np.squeeze(cell)) for cell in np.ravel(lists["file_list"])]
    labels = class_indices(np.ravel(lists["labels"]), len(files), path, first=1, floats=True)
    invalid = next((file for file in files if file.count("/") != 1), None)
    if invalid is not None:
        raise InputError(f"{path}: {invalid!r} is not an image in the folder of its breed")
    return Listing(tuple(files), labels)


def _box(path: Path) -> list[int]:
    try:
        require_regular(path)
        with file_errors("read", path):
            tree = ElementTree.parse(path)
        return [int(tree.findtext(f"object/bndbox/{edge}") or "") for edge in EDGES]
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path} has no object with a box: {error}") from error


STANFORD_DOGS = PhotographSet(listings=listings, boxes=boxes, **published("stanford_dogs"))
STANFORD_DOGS_WHOLE = dataclasses.replace(
    STANFORD_DOGS,
    name="stanford_dogs_whole",
    summary="stanford_dogs, uncropped photographs",
    boxes=None,
)
