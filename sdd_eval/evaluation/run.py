"""Evaluate a network: fold its batch norms, collect arrays, score them, record the provenance."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from sdd_eval.arrays import Arrays
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data.images import Subset
from sdd_eval.device import (
    device_and_threads,
    explain_batch_errors,
    float32_precision,
    restored_threads,
    use_default_threads,
)
from sdd_eval.evaluation.environment import machine, versions
from sdd_eval.evaluation.network_check import NetworkCheck, explain_missing_gradients
from sdd_eval.evaluation.partial_results import PartialResultFiles
from sdd_eval.evaluation.request import PROBABILITIES, Inputs, Request
from sdd_eval.evaluators.cache import OutputFiles, network_parts
from sdd_eval.evaluators.subject import Subject
from sdd_eval.object_detection import batches
from sdd_eval.object_detection.recipe import flattened_recipe
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.provenance import DataProvenance, RunProvenance
from sdd_eval.records import OBJECT_DETECTION, Run, encode

if TYPE_CHECKING:
    from sdd_eval.object_detection.evaluator import DetectionSubject

_LOGGER = logging.getLogger(__name__)


@restored_threads()
def run(
    checkpoint: Checkpoint,
    inputs: Inputs,
    request: Request,
    progress: Progress | None = None,
    partial_results: PartialResultFiles | None = None,
) -> Run:
    """Evaluate a network, resuming from partial results; `seconds` include the interrupted run.

    Raise InputError if the device has too little memory for the batch size.
    """
    evaluator, detects = inputs.evaluator, request.task == OBJECT_DETECTION
    start = time.perf_counter()
    warnings = list(inputs.warnings)
    if not detects:
        prepare = partial(_prepared, inputs=inputs, request=request, warnings=warnings)
        checkpoint = prepare(checkpoint)
        others = {name: prepare(other) for name, other in inputs.networks.items()}
        inputs = dataclasses.replace(inputs, networks=others)
    make_subject = _detection_subject if detects else _subject
    with float32_precision(tf32=request.tf32), explain_batch_errors(request.batch_size):
        subject = make_subject(checkpoint, inputs, request, progress, partial_results)
        with explain_missing_gradients(subject):
            arrays = Arrays.of(evaluator.collect(subject))
    measurements = inputs.score(arrays)
    seconds = time.perf_counter() - start + (partial_results.seconds if partial_results else 0)
    return Run(
        checkpoint=checkpoint.name,
        weights_sha256=checkpoint.weights_sha256,
        dataset=inputs.dataset,
        data_fingerprint=inputs.fingerprint,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(evaluator),
        limit=subject.limit,
        n=len(subject.indices()),
        measurements=measurements,
        provenance=RunProvenance(
            **_network_provenance(checkpoint, inputs, detects=detects),
            **_request_provenance(request),
            recalled=_recalled(getattr(subject, "cache", None)),
            warnings=warnings or None,
            resumed=(partial_results.resumed or None) if partial_results else None,
            versions=versions(),
            machine=machine(),
            seconds=round(seconds, 3),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ),
        arrays=arrays,
    )


def _network_provenance(checkpoint: Checkpoint, inputs: Inputs, *, detects: bool) -> dict[str, Any]:
    """Return what was evaluated: the network, the images, and what they were compared with."""
    card = checkpoint.card
    return {
        "recipe": flattened_recipe(card) if detects else encode(card.recipe),
        "backbone": card.provenance.backbone,
        "model": encode(checkpoint.spec),
        "class_names": card.provenance.class_names,
        "resizing": card.provenance.resizing,
        "folding": None if detects else _folding(checkpoint),
        "data": _data_provenance(inputs.data, inputs.sets),
        "networks": _networks(inputs) or None,
        "scored_against": inputs.scored_against,
    }


def _request_provenance(request: Request) -> dict[str, Any]:
    """Return the requested options of the evaluation."""
    return {
        "tf32": request.tf32,
        "outputs": request.outputs if request.outputs == PROBABILITIES else None,
        **device_and_threads(request.device),
        "batch_size": request.batch_size,
        "seed": request.seed,
        "command": request.command or None,
    }


def _recalled(cache: OutputFiles | None) -> list[Any] | None:
    """Return which outputs were read from the cache instead of computed, and log their number."""
    if cache is None:
        return None
    text = "  outputs of %d sets of images read from %s, of %d computed"
    _LOGGER.info(text, len(cache.hits), cache.folder, len(cache.misses))
    return list(cache.hits)


def _prepared(
    checkpoint: Checkpoint, inputs: Inputs, request: Request, warnings: list[str]
) -> Checkpoint:
    """Return a checkpoint whose network is folded, and checked on the test set, on loading.

    Warnings from the check are appended to the list.
    """
    images = inputs.data
    check = NetworkCheck(
        checkpoint.name, checkpoint.spec, images, request.device, request.outputs, warnings
    )
    return dataclasses.replace(checkpoint, fold=images if request.fold else None, adapt=check)


def _subject(
    checkpoint: Checkpoint,
    inputs: Inputs,
    request: Request,
    progress: Progress | None,
    partial_results: PartialResultFiles | None,
) -> Subject:
    model, cache = checkpoint.network(request.device), None
    batch = min(request.batch_size, request.limit or len(inputs.data))
    use_default_threads(model, batch * checkpoint.spec.image_size**2)
    if request.cache is not None:
        folded = sum(folding.folded for folding in checkpoint.foldings)
        parts = network_parts(checkpoint.weights_sha256, checkpoint.spec, folded)
        resizing = checkpoint.card.provenance.resizing
        parts |= {"resizing": encode(resizing)} if resizing else {}
        parts |= {"outputs": request.outputs} if request.outputs == PROBABILITIES else {}
        cache = OutputFiles(request.cache, checkpoint.name, parts, request.device)
    return Subject(
        model=model,
        spec=checkpoint.spec,
        data=inputs.data,
        sets=inputs.sets,
        networks=inputs.networks,
        card=checkpoint.card,
        device=request.device,
        batch_size=request.batch_size,
        limit=request.limit,
        seed=request.seed,
        progress=progress or NoProgress(),
        cache=cache,
        partial_results=partial_results.stored if partial_results else None,
        pictures=request.pictures,
    )


def _detection_subject(
    checkpoint: Checkpoint, inputs: Inputs, request: Request, progress: Progress | None, _: Any
) -> DetectionSubject:
    detector, channels = checkpoint.network(request.device), checkpoint.spec.channels
    return batches.subject_of(detector, channels, inputs.data, request, progress or NoProgress())


def _networks(inputs: Inputs) -> dict[str, Any]:
    """Return weights, specification and folding of each further checkpoint."""
    return {
        name: {**inputs.compared[name], "folding": _folding(other)}
        for name, other in inputs.networks.items()
    }


def _data_provenance(data: Any, sets: Mapping[str, Any]) -> dict[str, DataProvenance]:
    """Return the provenance of each data set by its name."""
    return {
        name: DataProvenance(
            origin=images.provenance,
            fingerprint=images.fingerprint,
            own=True if isinstance(images, Subset) else None,
            images=None if hasattr(images, "frost") else len(images),
            frost=getattr(images, "frost", None),
            classes=len(getattr(images, "class_names", ())) or None,
        )
        for name, images in {data.name: data, **sets}.items()
    }


def _folding(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return how a network is folded; empty if it was not loaded."""
    if not checkpoint.foldings:
        return {}
    return {"asked": checkpoint.fold is not None, **encode(checkpoint.foldings[-1])}
