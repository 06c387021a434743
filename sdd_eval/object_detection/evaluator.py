"""The evaluator of object detectors: mean average precision by pycocotools, as COCO defines it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import DetectionSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.protocol import Protocol
from sdd_eval.records import OBJECT_DETECTION, Measurement, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

Arrays = Mapping[str, NDArray[Any]]

#: Metrics in the order of COCOeval's summary.
PROTOCOLS = {
    "map": "COCO: mean over IoU .50:.05:.95 and categories, 101 recalls, 100 detections an image",
    "map50": "COCO: at IoU .50, mean over categories, 101 recalls, 100 detections an image",
    "map75": "COCO: at IoU .75, mean over categories, 101 recalls, 100 detections an image",
    "map_small": "as map, of objects under 32² pixels",
    "map_medium": "as map, of objects of 32² to 96² pixels",
    "map_large": "as map, of objects over 96² pixels",
}


@dataclass(frozen=True)
class DetectionSubject:
    """A detector and the images to evaluate it on; `batches` loads images by their indices."""

    detector: nn.Module
    data: DetectionSet
    batches: Callable[[list[int]], Iterable[list[torch.Tensor]]]
    limit: int | None
    seed: int
    progress: Progress

    def indices(self) -> NDArray[np.int64]:
        """Return the rows to evaluate: all, or a seeded subset of `limit`."""
        return subset_indices(len(self.data), self.limit, seed=self.seed)


@dataclass(frozen=True)
class Detection:
    """Average precision (mAP and mAP@0.5) of object detectors on a data set in COCO format."""

    task: ClassVar[Task] = OBJECT_DETECTION
    name: ClassVar[str] = "detection"
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("map", "map50")
    #: Why there is no paired test of detectors.
    untested: ClassVar[str] = (
        "mAP ranks the detections of all images together and is not a sum over images; with two or "
        "more seeds per side it is tested over seeds"
    )

    def collect(self, subject: DetectionSubject) -> dict[str, NDArray[np.generic]]:
        """Return detections and annotated objects as the arrays of `average_precision`.

        Boxes are (left, top, width, height) in pixels of the original image; labels count from 0.
        """
        import torch

        data, rows = subject.data, subject.indices()
        subject.progress.start(data.name, len(rows))
        detections = []
        with torch.inference_mode():
            for images in subject.batches(rows.tolist()):
                detections += [_detections(output) for output in subject.detector(images)]
                subject.progress.advance(len(images))
        counts = [len(scores) for _, scores, _ in detections]
        boxes, scores, labels = (np.concatenate(values) for values in zip(*detections, strict=True))
        return {
            "row": rows,
            "image": np.repeat(np.arange(len(rows)), counts),
            "box": boxes,
            "score": scores,
            "label": labels,
            **_objects(data, rows),
        }

    def score(self, arrays: Arrays) -> list[Measurement]:
        """Return the average precisions; raise InputError as `average_precision` does."""
        return [
            Measurement(name, value, "fraction", {}, Protocol({"definition": PROTOCOLS[name]}))
            for name, value in average_precision(arrays).items()
        ]


def _detections(
    output: dict[str, torch.Tensor],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    corners = output["boxes"].cpu().float().numpy()
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return boxes, output["scores"].cpu().float().numpy(), output["labels"].cpu().numpy() - 1


def _objects(data: DetectionSet, rows: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    annotations = data.annotations
    selected = np.isin(annotations.image, rows)
    return {
        "object_image": np.searchsorted(rows, annotations.image[selected]),
        "object_box": annotations.boxes[selected],
        "object_label": annotations.labels[selected],
        "object_crowd": annotations.crowd[selected],
        "object_area": annotations.area[selected],
    }


def require_pycocotools() -> None:
    """Raise InputError if pycocotools, which computes mAP, is not installed."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"mAP needs pycocotools, which cannot be imported ({error}): "
            "pip install 'sdd-eval[detection]'"
        ) from error


def average_precision(arrays: Arrays) -> dict[str, float]:
    """Return COCO's average precisions by name, except for sizes that no object has.

    Args:
        arrays: for each detection `image`, `box` (left, top, width, height), `label` and `score`;
            for each object `object_image`, `object_box`, `object_label`, `object_crowd` and
            `object_area`; for each image its index in the data set, `row`.

    Raises:
        InputError: pycocotools is not installed, or all objects are crowds.
    """
    require_pycocotools()
    from pycocotools.cocoeval import COCOeval

    if not (~np.asarray(arrays["object_crowd"], dtype=bool)).any():
        raise InputError(
            f"none of the {len(arrays['row']):,} images has an annotated object; raise --limit"
        )
    images = range(len(arrays["row"]))
    labels = np.concatenate([arrays["object_label"], arrays["label"]])
    areas = np.asarray(arrays["box"])[:, 2:].prod(axis=1)
    detections = _annotations(arrays, "", {"score": arrays["score"], "area": areas})
    attributes = {"iscrowd": arrays["object_crowd"], "area": arrays["object_area"]}
    objects = _annotations(arrays, "object_", attributes)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _indexed(images, labels, objects)
        evaluation = COCOeval(truth, _indexed(images, labels, detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    summary = zip(PROTOCOLS, evaluation.stats, strict=False)
    return {name: float(value) for name, value in summary if value >= 0}


def _annotations(
    arrays: Arrays, prefix: str, attributes: Mapping[str, NDArray[Any]]
) -> list[dict[str, Any]]:
    columns = {
        "image_id": arrays[f"{prefix}image"],
        "bbox": arrays[f"{prefix}box"],
        "category_id": arrays[f"{prefix}label"],
        **attributes,
    }
    values = (np.asarray(column).tolist() for column in columns.values())
    return [
        {"iscrowd": 0, **dict(zip(columns, row, strict=True))} for row in zip(*values, strict=True)
    ]


def _indexed(images: range, labels: NDArray[Any], annotations: list[dict[str, Any]]) -> Any:
    """Return a COCO object with annotations numbered from 1, as it ignores the id 0."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in images],
        "categories": [{"id": label} for label in np.unique(labels).tolist()],
        "annotations": [
            {"id": n, **annotation} for n, annotation in enumerate(annotations, start=1)
        ],
    }
    coco.createIndex()
    return coco
