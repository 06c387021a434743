"""mAP of an object detector: looked at once, scored as often as wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import DetectionSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.progress import Progress
from sdd_eval.records import Measurement

if TYPE_CHECKING:  # a study is read, and flags are told, without torch
    import torch
    from torch import nn


import contextlib
import io
from collections.abc import Mapping
from typing import Any

from sdd_eval.errors import InputError

PROTOCOLS = {
    "map": "COCO: mean over IoU .50:.05:.95 and categories, 101 recalls, 100 detections an image",
    "map50": "COCO: at IoU .50, mean over categories, 101 recalls, 100 detections an image",
    "map75": "COCO: at IoU .75, mean over categories, 101 recalls, 100 detections an image",
    "map_small": "as map, of objects under 32² pixels",
    "map_medium": "as map, of objects of 32² to 96² pixels",
    "map_large": "as map, of objects over 96² pixels",
}


@dataclass(frozen=True)
class Looked:
    """All that the evaluator may touch."""

    detector: nn.Module
    data: DetectionSet
    channels: int
    device: torch.device
    batch_size: int
    limit: int | None
    seed: int
    workers: int
    progress: Progress


@dataclass(frozen=True)
class Detection:
    """Mean average precision of an object detector (mAP, mAP@0.5), as COCO defines it."""

    name: ClassVar[str] = "detection"
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("map", "map50")

    def collect(self, subject: Looked) -> dict[str, NDArray[np.generic]]:
        """What was detected in the images, and what is annotated; see `average_precision`.

        Boxes are (left, top, width, height) in the image's own pixels, labels count from 0.
        """
        data = subject.data
        rows = subset_indices(len(data), subject.limit, seed=subject.seed)
        found = [_found(output) for output in _outputs(subject, rows.tolist())]
        counts = [len(scores) for _, scores, _ in found]
        boxes, scores, labels = (np.concatenate(each) for each in zip(*found, strict=True))
        return {
            "row": rows,
            "image": np.repeat(np.arange(len(rows)), counts),
            "box": boxes,
            "score": scores,
            "label": labels,
            **_objects(data, rows),
        }

    def score(self, arrays: Arrays) -> list[Measurement]:
        """The average precisions.

        Raises:
            InputError: pycocotools is not installed, or no image has an object in it.
        """
        return [
            Measurement(name, value, "fraction", {}, PROTOCOLS[name])
            for name, value in average_precision(arrays).items()
        ]


def _outputs(subject: Looked, rows: list[int]) -> list[dict[str, torch.Tensor]]:
    """What the detector says of each image."""
    import torch

    from sdd_eval.object_detection.batches import image_batches

    subject.progress.start(subject.data.name, len(rows))
    outputs: list[dict[str, torch.Tensor]] = []
    with torch.inference_mode():
        for images in image_batches(
            subject.data,
            rows,
            subject.batch_size,
            subject.channels,
            subject.device,
            subject.workers,
        ):
            found = subject.detector(images)
            outputs += [{name: each.cpu() for name, each in one.items()} for one in found]
            subject.progress.advance(len(images))
    return outputs


def _found(
    output: dict[str, torch.Tensor],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (left, top, width, height), scores and labels from 0 of one image."""
    import torch

    corners = output["boxes"].float()
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
    return boxes.numpy(), output["scores"].float().numpy(), output["labels"].numpy() - 1


def _objects(data: DetectionSet, rows: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """What is annotated in these images, which are numbered anew."""
    found = data.annotations
    kept = np.isin(found.image, rows)
    return {
        "object_image": np.searchsorted(rows, found.image[kept]),
        "object_box": found.boxes[kept],
        "object_label": found.labels[kept],
        "object_crowd": found.crowd[kept],
        "object_area": found.area[kept],
    }


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
