"""Object annotations in COCO's JSON format."""

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
    """Images and their annotated objects; the objects are in the order of their images.

    `boxes` are (left, top, width, height) in pixels, as annotated; `labels` number the categories
    from 0, in the order of their ids.
    """

    files: tuple[str, ...]
    sizes: NDArray[np.int64]
    """(images, 2): height, width."""
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    image: NDArray[np.int64]
    """Index in `files` of each object's image."""
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    """Whether the box contains several objects that are not annotated one by one."""
    area: NDArray[np.float64]
    """Area of the object's segmentation if annotated, else of its box."""

    def objects_in(self, index: int) -> slice:
        """Return the slice of an image's objects."""
        first, last = np.searchsorted(self.image, (index, index + 1)).tolist()
        return slice(first, last)

    def training_targets(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return clipped (left, top, right, bottom) and labels, without crowds and empty boxes."""
        rows = self.objects_in(index)
        height, width = self.sizes[index].tolist()
        boxes = clip_boxes(self.boxes[rows], width, height)
        valid = ~self.crowd[rows] & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return boxes[valid], self.labels[rows][valid]


def clip_boxes(boxes: NDArray[np.float64], width: Any, height: Any) -> NDArray[np.float64]:
    """Convert (left, top, width, height) to (left, top, right, bottom), clipped to the image."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    limits = (width, height, width, height)
    return np.stack([np.clip(x, 0, limit) for x, limit in zip(corners.T, limits, strict=True)], 1)


def read_annotations(path: Path) -> Annotations:
    """Read a file of annotations; raise InputError unless it is complete, in COCO's format."""
    data = _json(path)
    images = _entries(path, data, "images", ("id", "file_name", "height", "width"))
    categories = _entries(path, data, "categories", ("id", "name"))
    objects = _entries(path, data, "annotations", ("id", "image_id", "category_id", "bbox"))
    row_of = _index_by_id(path, "images", images)
    categories = sorted(categories, key=lambda entry: int(entry["id"]))
    label_of = _index_by_id(path, "categories", categories)
    rows = [_lookup(path, entry, "image_id", row_of) for entry in objects]
    labels = [_lookup(path, entry, "category_id", label_of) for entry in objects]
    sizes = np.array([(entry["height"], entry["width"]) for entry in images], dtype=np.int64)
    boxes = _boxes(path, objects, sizes[rows])
    order = np.argsort(np.array(rows), kind="stable")
    areas = [entry.get("area", box[2] * box[3]) for entry, box in zip(objects, boxes, strict=True)]
    return Annotations(
        files=tuple(str(entry["file_name"]) for entry in images),
        sizes=sizes,
        category_ids=tuple(label_of),
        class_names=tuple(str(entry["name"]) for entry in categories),
        image=np.array(rows, dtype=np.int64)[order],
        boxes=boxes[order],
        labels=np.array(labels, dtype=np.int64)[order],
        crowd=np.array([bool(entry.get("iscrowd", 0)) for entry in objects])[order],
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
        raise InputError(f"{path} is not in COCO's format: the top level is not an object")
    return data


def _entries(
    path: Path, data: Mapping[str, Any], name: str, fields: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return a list of the file after checking that each entry has the fields."""
    entries = data.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{path} is not in COCO's format: it has no list {name!r}")
    if not entries:
        raise InputError(f"{path} has no {name}: its list {name!r} is empty")
    for number, entry in enumerate(entries):
        for field in fields:
            if not isinstance(entry, Mapping) or field not in entry:
                raise InputError(f"{path}: entry {number} of {name!r} has no {field!r}")
    return entries


def _index_by_id(path: Path, name: str, entries: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    index: dict[int, int] = {}
    for number, entry in enumerate(entries):
        if entry["id"] in index:
            raise InputError(f"{path}: two entries of {name!r} have the id {entry['id']}")
        index[entry["id"]] = number
    return index


def _lookup(path: Path, entry: Mapping[str, Any], field: str, index: Mapping[int, int]) -> int:
    """Return the index of an annotation's image or category."""
    if entry[field] not in index:
        kind = "category" if field == "category_id" else "image"
        few = ", ".join(map(str, list(index)[:5])) + (" …" if len(index) > 5 else "")
        raise InputError(
            f"{path}: annotation {entry['id']} refers to the unknown {kind} {entry[field]!r}; "
            f"known: {few}"
        )
    return index[entry[field]]


def _boxes(
    path: Path, objects: Sequence[Mapping[str, Any]], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the boxes (objects, 4) after checking that each overlaps its image."""
    try:
        boxes = np.array([entry["bbox"] for entry in objects], dtype=np.float64)
    except (TypeError, ValueError):
        boxes = np.empty(0)
    if boxes.shape != (len(objects), 4):
        wrong = next((o for o in objects if not _four_numbers(o["bbox"])), objects[0])
        raise InputError(
            f"{path}: annotation {wrong['id']} has the box {wrong['bbox']!r}, not four numbers: "
            "left, top, width, height"
        )
    height, width = sizes.T
    clipped = clip_boxes(boxes, width, height)
    faults = {
        "is not finite": ~np.isfinite(boxes).all(axis=1),
        "has a negative side": (boxes[:, 2:] < 0).any(axis=1),
        "lies outside its image": (boxes[:, 2:] > 0).all(axis=1)
        & (clipped[:, 2:] <= clipped[:, :2]).any(axis=1),
    }
    for fault, mask in faults.items():
        if mask.any():
            row = int(np.flatnonzero(mask)[0])
            raise InputError(
                f"{path}: the box {objects[row]['bbox']} of annotation {objects[row]['id']} "
                f"{fault} ({width[row]} × {height[row]} pixels)"
            )
    return boxes


def _four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
