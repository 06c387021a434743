"""Evaluation of a detector on a data set in COCO's format, stored as a run."""

from __future__ import annotations

import dataclasses
import itertools
import time
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
from sdd_eval.evaluation.environment import conditions
from sdd_eval.evaluation.on_disk import Outcome
from sdd_eval.evaluation.request import Request, validated
from sdd_eval.object_detection.batches import Loader
from sdd_eval.object_detection.evaluator import DetectionSubject, require_pycocotools
from sdd_eval.object_detection.model import build_detector
from sdd_eval.object_detection.recipe import flattened_recipe
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import DETECTOR, Card, Run, encode
from sdd_eval.training.data.batches import default_workers


def evaluate_detector(
    checkpoint: Path, request: Request, progress: Progress | None = None
) -> Outcome:
    """Evaluate a detector's checkpoint, unless its run is stored already.

    Raises:
        InputError: the checkpoint is not a detector's, the data are invalid or have other
            categories, pycocotools is not installed, or another process writes this run.
    """
    card, data, request, path = _resolved(checkpoint, request)
    with store.locked(path, "writing"):
        if path.is_file():
            return Outcome(store.read_run(path), path, evaluated=False, scored=False)
        run = _run(checkpoint, card, data, request, progress or NoProgress())
        store.write_run(path, run)
    return Outcome(run, path, evaluated=True, scored=True)


def is_evaluated(checkpoint: Path, request: Request) -> bool:
    """Return whether the run is stored; raise InputError as `evaluate_detector`."""
    return _resolved(checkpoint, request)[-1].is_file()


def _resolved(checkpoint: Path, request: Request) -> tuple[Card, DetectionSet, Request, Path]:
    """Return the detector's card, the images, the validated request and the path of its run."""
    require_pycocotools()
    request = validated(request)
    card = dataclasses.replace(checkpoints.read_card(checkpoint), name=checkpoint.resolve().name)
    _require_detector(card)
    checkpoints.verify(checkpoint, card)
    data = load_objects(request.dataset or str(card.dataset), request.data_root)
    _require_categories(card, data)
    if request.limit is not None and request.limit >= len(data):
        request = dataclasses.replace(request, limit=None)
    return card, data, request, _run_path(request, card, data)


def load_detector(checkpoint: Path, card: Card, *, trust_code: bool = False) -> torch.nn.Module:
    """Load the detector of a checkpoint, in eval mode with frozen parameters."""
    with torch.random.fork_rng(devices=[]):  # initial weights are replaced
        detector: torch.nn.Module = build_detector(card.model, trust_code=trust_code)
    checkpoints.load_weights(detector, checkpoints.read_weights(checkpoint, card), str(checkpoint))
    return detector.eval().requires_grad_(False)


def _run(
    checkpoint: Path, card: Card, data: DetectionSet, request: Request, progress: Progress
) -> Run:
    """Run the detector, score it, and record the provenance."""
    start = time.perf_counter()
    evaluator = request.evaluator
    detector = load_detector(checkpoint, card, trust_code=request.trust_code)
    device, workers = torch.device(request.device), default_workers(torch.get_num_threads())
    loader = Loader(data, card.model.channels, device, workers)
    subject = DetectionSubject(
        detector=detector.to(device),
        data=data,
        batches=lambda rows: loader.images(rows, request.batch_size),
        limit=request.limit,
        seed=request.seed,
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
            **_provenance(card, data),
            **conditions(
                *(request.device, request.batch_size, request.seed),
                *(time.perf_counter() - start, request.command),
            ),
        },
        arrays=arrays,
    )


def _provenance(card: Card, data: DetectionSet) -> dict[str, Any]:
    facts = {"origin": data.provenance, "fingerprint": data.fingerprint, "images": len(data)}
    return {
        "card": flattened_recipe(card),
        "model": encode(card.model),
        "backbone": card.provenance["backbone"],
        "data": {data.name: facts},
    }


def _run_path(request: Request, card: Card, data: DetectionSet) -> Path:
    """Return reports/STUDY/runs/CHECKPOINT/detection-DATASET-KEY.json."""
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
    trained, given = list(card.model.options["class_names"]), list(data.annotations.class_names)
    for number, (expected, actual) in enumerate(itertools.zip_longest(trained, given), start=1):
        if expected != actual:
            raise InputError(
                f"{card.name} was trained on other categories than {data.name} has: category "
                f"{number} is {expected!r} in the checkpoint and {actual!r} in the data set"
            )
