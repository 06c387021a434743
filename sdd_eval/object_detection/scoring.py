"""Detections and objects → average precision, by pycocotools; the only place that imports it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError

#: Places of COCOeval's summary by the name of the metric.
SUMMARY = ("map", "map50", "map75", "map_small", "map_medium", "map_large")

Arrays = Mapping[str, NDArray[Any]]


def require_pycocotools() -> None:
    """Refuse to begin where mAP could not be computed in the end.

    Raises:
        InputError: pycocotools is not installed.
    """
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"mAP needs pycocotools, which does not import ({error}): "
            "pip install 'sdd-eval[detection]'"
        ) from error


def average_precision(arrays: Arrays) -> dict[str, float]:
    """COCO's average precisions by name; those of sizes of which there is no object are left out.

    Args:
        arrays: of each detection `image`, `box` (left, top, width, height), `label`, `score`; of
            each object `object_image`, `object_box`, `object_label`, `object_crowd`,
            `object_area`; of each image its number in the set, `row`.

    Raises:
        InputError: pycocotools is not installed, or there is no object that is no crowd.
    """
    require_pycocotools()
    from pycocotools.cocoeval import COCOeval

    if not (~np.asarray(arrays["object_crowd"], dtype=bool)).any():
        raise InputError(f"none of the {len(arrays['row']):,} images has an object in it")
    images = range(len(arrays["row"]))
    labels = np.concatenate([arrays["object_label"], arrays["label"]])
    sides = np.asarray(arrays["box"])[:, 2:]
    found = _entries(arrays, "", {"score": arrays["score"], "area": sides.prod(axis=1)})
    marks = {"iscrowd": arrays["object_crowd"], "area": arrays["object_area"]}
    there = _entries(arrays, "object_", marks)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        truth = _indexed(images, labels, there)
        evaluation = COCOeval(truth, _indexed(images, labels, found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    summary = zip(SUMMARY, evaluation.stats, strict=False)
    return {name: float(value) for name, value in summary if value >= 0}


def _entries(
    arrays: Arrays, prefix: str, further: Mapping[str, NDArray[Any]]
) -> list[dict[str, Any]]:
    """Objects or detections as pycocotools takes them."""
    columns = {
        "image_id": arrays[f"{prefix}image"],
        "bbox": arrays[f"{prefix}box"],
        "category_id": arrays[f"{prefix}label"],
        **further,
    }
    values = (np.asarray(each).tolist() for each in columns.values())
    return [
        {"iscrowd": 0, **dict(zip(columns, row, strict=True))} for row in zip(*values, strict=True)
    ]


def _indexed(images: range, labels: NDArray[Any], objects: list[dict[str, Any]]) -> Any:
    """A set of pycocotools, numbered from 1: it takes an object of id 0 for none."""
    from pycocotools.coco import COCO

    found = COCO()
    found.dataset = {
        "images": [{"id": number} for number in images],
        "categories": [{"id": label} for label in np.unique(labels).tolist()],
        "annotations": [{"id": number, **each} for number, each in enumerate(objects, start=1)],
    }
    found.createIndex()
    return found
