"""Load the network and the images to evaluate an object detector."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch

from sdd_eval.data.catalogue import dataset
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.errors import InputError
from sdd_eval.object_detection.batches import Loader
from sdd_eval.object_detection.evaluator import DetectionSubject, require_pycocotools
from sdd_eval.progress import Progress
from sdd_eval.records import OBJECT_DETECTION, Card
from sdd_eval.training.data.batches import default_workers


def objects_of(card: Card, name: str, root: Path) -> DetectionSet:
    """Load the test images of a detector with their objects.

    Raise InputError if they have other categories, or pycocotools is not installed.
    """
    require_pycocotools()
    data = dataset(name, root, OBJECT_DETECTION).objects()
    trained, given = list(card.model.options["class_names"]), list(data.annotations.class_names)
    for number, (expected, actual) in enumerate(itertools.zip_longest(trained, given), start=1):
        if expected != actual:
            raise InputError(
                f"{card.name} was trained on other categories than {data.name} has: category "
                f"{number} is {expected!r} in the checkpoint and {actual!r} in the data set"
            )
    return data


def subject_of(
    detector: Any, channels: int, data: DetectionSet, request: Any, progress: Progress
) -> DetectionSubject:
    """Return a detector with the images that it is evaluated on."""
    workers = default_workers(torch.get_num_threads())
    loader = Loader(data, channels, torch.device(request.device), workers)
    return DetectionSubject(
        detector=detector,
        data=data,
        batches=lambda rows: loader.images(rows, request.batch_size),
        limit=request.limit,
        seed=request.seed,
        progress=progress,
    )
