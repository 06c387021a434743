"""Object annotations in COCO's JSON format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.files import reading
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
    """Whether the box contains several objects that are not annotated individually."""
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


#: The largest side of an annotated image.
MOST_PIXELS = 1_000_000


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: Annotated[int, msgspec.Meta(ge=1, le=MOST_PIXELS)]
    width: Annotated[int, msgspec.Meta(ge=1, le=MOST_PIXELS)]


class _Category(msgspec.Struct):
    id: int
    name: str


class _Object(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: bool | int = 0
    area: Annotated[float, msgspec.Meta(ge=0, le=MOST_PIXELS**2)] | None = None


class _File(msgspec.Struct):
    images: Annotated[list[_Image], msgspec.Meta(min_length=1)]
    categories: Annotated[list[_Category], msgspec.Meta(min_length=1)]
    annotations: Annotated[list[_Object], msgspec.Meta(min_length=1)]


def read_annotations(path: Path) -> Annotations:
    """Read a file of annotations; raise InputError unless it is complete and in COCO's format."""
    with reading(path, "JSON"):
        content = json.loads(path.read_bytes())  # reads NaN, so that errors name the object
    with reading(path, "in COCO's format"):
        file = msgspec.convert(content, _File)
    categories = sorted(file.categories, key=lambda category: category.id)
    row_of, label_of = _by_id(path, "images", file.images), _by_id(path, "categories", categories)
    rows = [_lookup(path, one, "image", one.image_id, row_of) for one in file.annotations]
    labels = [_lookup(path, one, "category", one.category_id, label_of) for one in file.annotations]
    sizes = np.array([(image.height, image.width) for image in file.images], dtype=np.int64)
    boxes = _boxes(path, file.annotations, sizes[rows])
    order = np.argsort(np.array(rows), kind="stable")
    area = np.array([one.area for one in file.annotations], dtype=np.float64)  # None becomes NaN
    return Annotations(
        files=tuple(image.file_name for image in file.images),
        sizes=sizes,
        category_ids=tuple(label_of),
        class_names=tuple(category.name for category in categories),
        image=np.array(rows, dtype=np.int64)[order],
        boxes=boxes[order],
        labels=np.array(labels, dtype=np.int64)[order],
        crowd=np.array([bool(one.iscrowd) for one in file.annotations])[order],
        area=np.where(np.isnan(area), boxes[:, 2] * boxes[:, 3], area)[order],
    )


def _by_id(path: Path, name: str, entries: Sequence[_Image | _Category]) -> dict[int, int]:
    """Return the position of each id; raise InputError if two entries share one."""
    index: dict[int, int] = {}
    for position, entry in enumerate(entries):
        if index.setdefault(entry.id, position) != position:
            raise InputError(f"{path}: two entries of {name!r} have the id {entry.id}")
    return index


def _lookup(path: Path, one: _Object, kind: str, key: int, index: Mapping[int, int]) -> int:
    """Return the position of an object's image or category."""
    if key not in index:
        few = ", ".join(map(str, list(index)[:5])) + (" …" if len(index) > 5 else "")
        raise InputError(
            f"{path}: annotation {one.id} refers to the unknown {kind} {key}; known: {few}"
        )
    return index[key]


def _boxes(path: Path, objects: Sequence[_Object], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the boxes (objects, 4) after checking that each overlaps its image."""
    boxes = np.array([one.bbox for one in objects], dtype=np.float64)
    height, width = sizes.T
    clipped = clip_boxes(boxes, width, height)
    faults = {
        "is not finite": ~np.isfinite(boxes).all(axis=1),
        "is larger than any image": (np.abs(boxes) > MOST_PIXELS).any(axis=1),
        "has a negative side": (boxes[:, 2:] < 0).any(axis=1),
        "lies outside its image": (boxes[:, 2:] > 0).all(axis=1)
        & (clipped[:, 2:] <= clipped[:, :2]).any(axis=1),
    }
    for fault, mask in faults.items():
        if mask.any():
            row = int(np.flatnonzero(mask)[0])
            raise InputError(
                f"{path}: the box {list(objects[row].bbox)} of annotation {objects[row].id} "
                f"{fault} ({width[row]} × {height[row]} pixels)"
            )
    return boxes
