"""Fold, collect, score, and write down how it was done."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sdd_eval.data.images import ImageSet, Subset
from sdd_eval.evaluation.cache import Outputs, network_parts
from sdd_eval.evaluation.environment import device_and_threads, machine, versions
from sdd_eval.evaluation.folded import FoldedNetwork, folded, in_provenance, networks_of
from sdd_eval.evaluation.inputs import Inputs
from sdd_eval.evaluation.partial_results import Pieces
from sdd_eval.evaluation.request import Request
from sdd_eval.evaluators.subject import Subject
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Card, ModelSpec, Run, encode

if TYPE_CHECKING:
    import torch

    from sdd_eval.models.bn_folding import Folding


@dataclass(frozen=True)
class Examined:
    """A network in eval mode with frozen parameters, what it is, and what it is called."""

    model: torch.nn.Module
    spec: ModelSpec
    name: str
    weights_sha256: str
    card: Card | None = None


def run(
    examined: Examined,
    inputs: Inputs,
    request: Request,
    progress: Progress | None = None,
    pieces: Pieces | None = None,
) -> Run:
    """Fold, collect, score, and write down how; with the pieces of an interrupted run, from there.

    Its seconds are then those of all that led to it.

    Raises:
        InputError: the device has too little memory for the batch size.
    """
    from sdd_eval.device import explain_batch_errors, float32_precision

    evaluator = inputs.evaluator
    begun = time.perf_counter()
    with float32_precision(tf32=request.tf32), explain_batch_errors(request.batch_size):
        model, folding = folded(examined.model, inputs.data, request)
        subject = _subject(examined, model, folding, inputs, request, progress)
        networks = networks_of(inputs.networks, inputs.data, request)
        subject = dataclasses.replace(subject, pieces=pieces, networks=networks)
        arrays = evaluator.collect(subject)
    measurements = inputs.score(arrays)
    return Run(
        checkpoint=examined.name,
        weights_sha256=examined.weights_sha256,
        dataset=inputs.dataset,
        data_fingerprint=inputs.fingerprint,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(
            {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
        ),
        limit=subject.limit,
        n=len(subject.indices()),
        measurements=measurements,
        provenance={
            **_looked_at(examined, subject, inputs, networks),
            "folding": in_provenance(folding, request),
            **({"recalled": list(subject.memory.recalled)} if subject.memory else {}),
            "scored_against": inputs.scored_against,
            "versions": versions(),
            "machine": machine(),
            **device_and_threads(subject.device),
            "tf32": request.tf32,
            "batch_size": subject.batch_size,
            "seed": subject.seed,
            "seconds": round(time.perf_counter() - begun + (pieces.seconds if pieces else 0), 3),
            **({"resumed": pieces.resumed} if pieces and pieces.resumed else {}),
            "command": request.command,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        arrays=arrays,
    )


def _subject(
    examined: Examined,
    model: torch.nn.Module,
    folding: Folding,
    inputs: Inputs,
    request: Request,
    progress: Progress | None,
) -> Subject:
    """What the evaluator may touch."""
    memory = None
    if request.cache is not None:
        network = network_parts(examined.weights_sha256, examined.spec, folding.folded)
        memory = Outputs(request.cache, examined.name, network, request.device)
    return Subject(
        model=model,
        spec=examined.spec,
        data=inputs.data,
        sets=inputs.sets,
        card=examined.card,
        device=request.device,
        batch_size=request.batch_size,
        limit=request.limit,
        seed=request.seed,
        progress=progress or NoProgress(),
        memory=memory,
    )


def _looked_at(
    examined: Examined, subject: Subject, inputs: Inputs, networks: Mapping[str, FoldedNetwork]
) -> dict[str, Any]:
    """How the network was trained and what it is, which data it saw, and what beside it."""
    card = examined.card
    told = inputs.compared.items()
    beside = {name: {**each, "folding": networks[name].found} for name, each in told}
    return {
        "card": encode(card.recipe) if card and card.recipe else None,
        "model": encode(examined.spec),
        "data": _data_provenance(subject.data, inputs.sets),
        **({"networks": beside} if beside else {}),
    }


def _data_provenance(data: ImageSet, sets: Mapping[str, Any]) -> dict[str, Any]:
    """Every data set of a run: how far it is the publisher's, how many images, its content.

    `own` are parts of the training images that the network's seed told off.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, images in {data.name: data, **sets}.items():
        found[name] = {"origin": images.provenance, "fingerprint": images.fingerprint}
        if isinstance(images, Subset):
            found[name]["own"] = True
        if isinstance(images, ImageSet):
            found[name]["images"] = len(images)
        else:
            found[name]["frost"] = images.frost
    return found
