"""A file of annotations in COCO's format → arrays; what is wrong in it is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Annotations:
    """Images and the objects in them, these in the order of their images.

    `boxes` are (left, top, width, height) in pixels, as they are annotated; `labels` count the
    categories from 0, in the order of their ids.
    """

    files: tuple[str, ...]
    sizes: NDArray[np.int64]
    """(images, 2): height, width."""
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    image: NDArray[np.int64]
    """Of each object, the number of its image in `files`."""
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    """Whether the box is round many objects that nobody has told apart."""
    area: NDArray[np.float64]
    """Of the object's outline where that is annotated, else of its box."""

    def objects_in(self, index: int) -> slice:
        """The objects of an image."""
        first, last = np.searchsorted(self.image, (index, index + 1)).tolist()
        return slice(first, last)

    def training_targets(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Boxes (left, top, right, bottom) inside the image, and labels, of what can be learned.

        Crowds stay out, and boxes without an area, of which COCO itself has a few.
        """
        rows = self.objects_in(index)
        height, width = self.sizes[index].tolist()
        boxes = clip_boxes(self.boxes[rows], width, height)
        kept = ~self.crowd[rows] & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return boxes[kept], self.labels[rows][kept]


def clip_boxes(boxes: NDArray[np.float64], width: Any, height: Any) -> NDArray[np.float64]:
    """(left, top, width, height) → (left, top, right, bottom), cut off at the image's edges."""
    left, top, right, bottom = (
        boxes[:, 0],
        boxes[:, 1],
        boxes[:, 0] + boxes[:, 2],
        boxes[:, 1] + boxes[:, 3],
    )
    sides = (np.clip(left, 0, width), np.clip(top, 0, height))
    return np.stack([*sides, np.clip(right, 0, width), np.clip(bottom, 0, height)], axis=1)


def read_annotations(path: Path) -> Annotations:
    """The annotations of a file.

    Raises:
        InputError: it is not JSON or not in COCO's format, has no image, category or object, or
            an object is of an unknown image or category, or has an impossible box.
    """
    data = _json(path)
    images = _entries(path, data, "images", ("id", "file_name", "height", "width"))
    categories = _entries(path, data, "categories", ("id", "name"))
    objects = _entries(path, data, "annotations", ("id", "image_id", "category_id", "bbox"))
    row_of = _numbered(path, "images", images)
    categories = sorted(categories, key=lambda each: int(each["id"]))
    label_of = _numbered(path, "categories", categories)
    rows = [_known(path, each, "image_id", row_of) for each in objects]
    labels = [_known(path, each, "category_id", label_of) for each in objects]
    sizes = np.array([(each["height"], each["width"]) for each in images], dtype=np.int64)
    boxes = _boxes(path, objects, sizes[rows])
    order = np.argsort(np.array(rows), kind="stable")
    areas = [each.get("area", box[2] * box[3]) for each, box in zip(objects, boxes, strict=True)]
    return Annotations(
        files=tuple(str(each["file_name"]) for each in images),
        sizes=sizes,
        category_ids=tuple(label_of),
        class_names=tuple(str(each["name"]) for each in categories),
        image=np.array(rows, dtype=np.int64)[order],
        boxes=boxes[order],
        labels=np.array(labels, dtype=np.int64)[order],
        crowd=np.array([bool(each.get("iscrowd", 0)) for each in objects])[order],
        area=np.array(areas, dtype=np.float64)[order],
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, Mapping):
        raise InputError(f"{path} is not in COCO's format: it is no object")
    return data


def _entries(
    path: Path, data: Mapping[str, Any], name: str, fields: Sequence[str]
) -> list[Mapping[str, Any]]:
    """A list of the file, each of its entries with these fields."""
    found = data.get(name)
    if not isinstance(found, list):
        raise InputError(f"{path} is not in COCO's format: it has no list {name!r}")
    if not found:
        raise InputError(f"{path} has no {name}: its list {name!r} is empty")
    for number, each in enumerate(found):
        for field in fields:
            if not isinstance(each, Mapping) or field not in each:
                raise InputError(f"{path}: entry {number} of {name!r} has no {field!r}")
    return found


def _numbered(path: Path, name: str, entries: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """The place of each entry by its id."""
    found: dict[int, int] = {}
    for number, each in enumerate(entries):
        if each["id"] in found:
            raise InputError(f"{path}: two entries of {name!r} have the id {each['id']}")
        found[each["id"]] = number
    return found


def _known(path: Path, entry: Mapping[str, Any], field: str, known: Mapping[int, int]) -> int:
    """The place of what an object is of, or in."""
    if entry[field] not in known:
        kind = "category" if field == "category_id" else "image"
        few = ", ".join(map(str, list(known)[:5])) + (" …" if len(known) > 5 else "")
        raise InputError(
            f"{path}: annotation {entry['id']} is of {kind} {entry[field]!r}, which is none of "
            f"its own ({few})"
        )
    return known[entry[field]]


def _boxes(
    path: Path, objects: Sequence[Mapping[str, Any]], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The boxes (objects, 4), if each is four finite numbers, not negative, in its image."""
    try:
        boxes = np.array([each["bbox"] for each in objects], dtype=np.float64)
    except (TypeError, ValueError):
        boxes = np.empty(0)
    if boxes.shape != (len(objects), 4):
        wrong = next((o for o in objects if not _four_numbers(o["bbox"])), objects[0])
        raise InputError(f"{path}: annotation {wrong['id']} has the box {wrong['bbox']!r}, not "
                         "four numbers: left, top, width, height")  # fmt: skip
    height, width = sizes.T
    cut = clip_boxes(boxes, width, height)
    faults = {
        "is not finite": ~np.isfinite(boxes).all(axis=1),
        "has a negative side": (boxes[:, 2:] < 0).any(axis=1),
        "lies outside its image": (boxes[:, 2:] > 0).all(axis=1)
        & (cut[:, 2:] <= cut[:, :2]).any(axis=1),
    }
    for fault, where in faults.items():
        if where.any():
            row = int(np.flatnonzero(where)[0])
            image = f"{width[row]} × {height[row]} pixels"
            raise InputError(
                f"{path}: the box {objects[row]['bbox']} of annotation {objects[row]['id']} "
                f"{fault} ({image})"
            )
    return boxes


def _four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
