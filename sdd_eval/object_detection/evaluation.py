"""Detector × set of COCO's format → run on the disk, doing only what is missing."""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint as checkpoints
from sdd_eval.data.catalogue import load_objects
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.device import explain_batch_errors
from sdd_eval.errors import InputError
from sdd_eval.evaluation.environment import device_and_threads, machine, versions
from sdd_eval.evaluation.on_disk import Outcome
from sdd_eval.evaluation.request import Request, checked
from sdd_eval.object_detection.evaluator import Looked, require_pycocotools
from sdd_eval.object_detection.model import build_detector
from sdd_eval.object_detection.recipe import flattened_recipe
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import DETECTOR, Card, Run, encode
from sdd_eval.training.data.batches import default_workers


@dataclass(frozen=True)
class Asked:
    """What is asked of which detector, on which images, and where the run goes."""

    checkpoint: Path
    card: Card
    data: DetectionSet
    request: Request
    path: Path


def evaluate_detector(
    checkpoint: Path, request: Request, progress: Progress | None = None
) -> Outcome:
    """Measure one detector's checkpoint, unless the run is there already.

    Raises:
        InputError: the checkpoint is no detector's, the data are wrong or have other categories,
            pycocotools is not installed, or another process is at it.
    """
    asked = _asked(checkpoint, request)
    path = asked.path
    with store.locked(path, "writing"):
        if path.is_file():
            return Outcome(store.read_run(path), path, looked=False, scored=False)
        found = _run(asked, progress or NoProgress())
        store.write_run(path, found)
    return Outcome(found, path, looked=True, scored=True)


def is_evaluated(checkpoint: Path, request: Request) -> bool:
    """Whether the run is there, so that `evaluate_detector` would look at no image.

    Raises:
        InputError: as `evaluate_detector`.
    """
    return _asked(checkpoint, request).path.is_file()


def _asked(checkpoint: Path, request: Request) -> Asked:
    """What is asked, with everything that it names loaded and the limit settled."""
    require_pycocotools()
    request = checked(request)
    card = dataclasses.replace(checkpoints.read_card(checkpoint), name=checkpoint.resolve().name)
    _require_detector(card)
    checkpoints.verify(checkpoint, card)
    data = load_objects(request.dataset or str(card.dataset), request.data_root)
    _require_categories(card, data)
    if request.limit is not None and request.limit >= len(data):
        request = dataclasses.replace(request, limit=None)
    return Asked(checkpoint, card, data, request, _run_path(request, card, data))


def load_detector(checkpoint: Path, card: Card, *, trust_code: bool = False) -> torch.nn.Module:
    """A checkpoint's detector, images in [0, 1] → boxes, labels and scores; parameters frozen."""
    with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away
        detector: torch.nn.Module = build_detector(card.model, trust_code=trust_code)
    checkpoints.load_weights(detector, checkpoints.read_weights(checkpoint, card), str(checkpoint))
    return detector.eval().requires_grad_(False)


def _run(asked: Asked, progress: Progress) -> Run:
    """Look, score, and write down how.

    Raises:
        InputError: the device has too little memory for the batch size.
    """
    begun = time.perf_counter()
    card, data, request = asked.card, asked.data, asked.request
    evaluator = request.evaluator
    detector = load_detector(asked.checkpoint, card, trust_code=request.trust_code)
    subject = Looked(
        detector=detector.to(request.device),
        data=data,
        channels=card.model.channels,
        device=torch.device(request.device),
        batch_size=request.batch_size,
        limit=request.limit,
        seed=request.seed,
        workers=default_workers(torch.get_num_threads()),
        progress=progress,
    )
    with explain_batch_errors(request.batch_size):
        arrays = evaluator.collect(subject)
    return Run(
        checkpoint=card.name,
        weights_sha256=card.weights_sha256,
        dataset=data.name,
        data_fingerprint=data.fingerprint,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(evaluator),
        limit=request.limit,
        n=len(subset_indices(len(data), request.limit, seed=request.seed)),
        measurements=tuple(evaluator.score(arrays)),
        provenance={
            **_told(card, data),
            "versions": versions(),
            "machine": machine(),
            **device_and_threads(request.device),
            "batch_size": request.batch_size,
            "seed": request.seed,
            "seconds": round(time.perf_counter() - begun, 3),
            "command": request.command,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        arrays=arrays,
    )


def _told(card: Card, data: DetectionSet) -> dict[str, Any]:
    """How the detector was trained and what it is, and which data it saw."""
    return {
        "card": flattened_recipe(card),
        "model": encode(card.model),
        "backbone": card.provenance["backbone"],
        "data": {
            data.name: {
                "origin": data.provenance,
                "fingerprint": data.fingerprint,
                "images": len(data),
            }
        },
    }


def _run_path(request: Request, card: Card, data: DetectionSet) -> Path:
    """reports/STUDY/runs/CHECKPOINT/detection-DATASET-KEY.json."""
    evaluator = request.evaluator
    key = store.key_of(
        {
            "evaluator": evaluator.name,
            "version": evaluator.version,
            "weights": card.weights_sha256,
            "model": card.model,
            "data": data.fingerprint,
            "limit": request.limit,
            "seed": request.seed if request.limit else 0,
        }
    )
    return request.study / "runs" / card.name / f"{evaluator.name}-{data.name}-{key}.json"


def _require_detector(card: Card) -> None:
    if not card.model.arch.startswith(DETECTOR):
        raise InputError(
            f"{card.name} is a classifier, not an object detector; sdd-eval train-detector --from "
            f"{card.name} makes one of it"
        )


def _require_categories(card: Card, data: DetectionSet) -> None:
    """Refuse a set of other categories than the detector's."""
    known, there = list(card.model.options["class_names"]), list(data.annotations.class_names)
    for number, (ours, theirs) in enumerate(itertools.zip_longest(known, there), start=1):
        if ours != theirs:
            raise InputError(
                f"{card.name} was trained on other categories than {data.name} has: number "
                f"{number} is {ours!r}, there {theirs!r}"
            )
