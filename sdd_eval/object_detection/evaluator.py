"""mAP of an object detector: looked at once, scored as often as wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import DetectionSet
from sdd_eval.data.splits import subset
from sdd_eval.object_detection.scoring import Arrays, average_precision
from sdd_eval.progress import Progress
from sdd_eval.records import Measurement

if TYPE_CHECKING:  # a study is read, and flags are told, without torch
    import torch
    from torch import nn

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
        rows = subset(len(data), subject.limit, seed=subject.seed)
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
