"""Evaluate a network: fold its batch norms, collect arrays, score them, record the provenance."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval import evaluators, models
from sdd_eval.data.images import ImageSet, Subset
from sdd_eval.device import explain_batch_errors, float32_precision
from sdd_eval.evaluation.cache import OutputFiles, network_parts
from sdd_eval.evaluation.environment import conditions
from sdd_eval.evaluation.partial_results import PartialResultFiles
from sdd_eval.evaluation.request import Inputs, Request
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Card, ModelSpec, Run, encode

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.subject import ComparedNetwork, Subject
    from sdd_eval.models.bn_folding import Folding

#: Number of images, evenly spaced in the test set, on which folding is checked.
FOLDING_IMAGES = 16


@dataclass(frozen=True)
class EvaluatedNetwork:
    """A network in eval mode with frozen parameters, its specification and its name."""

    model: torch.nn.Module
    spec: ModelSpec
    name: str
    weights_sha256: str
    card: Card | None = None


def run(
    network: EvaluatedNetwork,
    inputs: Inputs,
    request: Request,
    progress: Progress | None = None,
    partial_results: PartialResultFiles | None = None,
) -> Run:
    """Evaluate a network, resuming from partial results; `seconds` include the interrupted run's.

    Raise InputError if the device has too little memory for the batch size.
    """
    evaluator = inputs.evaluator
    start = time.perf_counter()
    with float32_precision(tf32=request.tf32), explain_batch_errors(request.batch_size):
        model, folding = folded(network.model, inputs.data, request)
        subject = _subject(network, model, folding, inputs, request, progress)
        foldings: dict[str, Any] = {}
        compared = _folded_networks(inputs, request, foldings)
        subject = dataclasses.replace(subject, partial_results=partial_results, networks=compared)
        arrays = evaluator.collect(subject)
    measurements = inputs.score(arrays)
    seconds, details = time.perf_counter() - start, dict[str, Any](tf32=request.tf32)
    if partial_results:
        seconds += partial_results.seconds
        details |= {"resumed": partial_results.resumed} if partial_results.resumed else {}
    return Run(
        checkpoint=network.name,
        weights_sha256=network.weights_sha256,
        dataset=inputs.dataset,
        data_fingerprint=inputs.fingerprint,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(evaluator),
        limit=subject.limit,
        n=len(subject.indices()),
        measurements=measurements,
        provenance={
            **_networks_and_data(network, subject, inputs, foldings),
            "folding": _folding_provenance(folding, request),
            **({"recalled": list(subject.cache.hits)} if subject.cache else {}),
            "scored_against": inputs.scored_against,
            **conditions(
                *(request.device, request.batch_size, request.seed, seconds, request.command),
                **details,
            ),
        },
        arrays=arrays,
    )


def _folded_networks(
    inputs: Inputs, request: Request, foldings: dict[str, Any]
) -> dict[str, ComparedNetwork]:
    """Return the further checkpoints, folded like the evaluated one; loading one notes how."""

    def load(name: str, device: str) -> torch.nn.Module:
        model, folding = folded(inputs.networks[name].network(device), inputs.data, request)
        foldings[name] = _folding_provenance(folding, request)
        return model

    return {
        name: evaluators.ComparedNetwork(
            name, other.spec, other.weights_sha256, functools.partial(load, name)
        )
        for name, other in inputs.networks.items()
    }


def _subject(
    network: EvaluatedNetwork,
    model: torch.nn.Module,
    folding: Folding,
    inputs: Inputs,
    request: Request,
    progress: Progress | None,
) -> Subject:
    cache = None
    if request.cache is not None:
        parts = network_parts(network.weights_sha256, network.spec, folding.folded)
        cache = OutputFiles(request.cache, network.name, parts, request.device)
    return evaluators.Subject(
        model=model,
        spec=network.spec,
        data=inputs.data,
        sets=inputs.sets,
        card=network.card,
        device=request.device,
        batch_size=request.batch_size,
        limit=request.limit,
        seed=request.seed,
        progress=progress or NoProgress(),
        cache=cache,
    )


def _networks_and_data(
    network: EvaluatedNetwork, subject: Subject, inputs: Inputs, foldings: Mapping[str, Any]
) -> dict[str, Any]:
    card = network.card
    further = {
        name: {**parts, "folding": foldings.get(name, {})}
        for name, parts in inputs.compared.items()
    }
    return {
        "card": encode(card.recipe) if card and card.recipe else None,
        "model": encode(network.spec),
        "data": _data_provenance(subject.data, inputs.sets),
        **({"networks": further} if further else {}),
    }


def _data_provenance(data: ImageSet, sets: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of each data set: origin, number of images, fingerprint.

    `own` marks parts of the training images that depend on the network's seed.
    """
    provenance: dict[str, dict[str, Any]] = {}
    for name, images in {data.name: data, **sets}.items():
        provenance[name] = {"origin": images.provenance, "fingerprint": images.fingerprint}
        if isinstance(images, Subset):
            provenance[name]["own"] = True
        if isinstance(images, ImageSet):
            provenance[name]["images"] = len(images)
        else:
            provenance[name]["frost"] = images.frost
    return provenance


def folded(
    model: torch.nn.Module, images: ImageSet, request: Request
) -> tuple[torch.nn.Module, Folding]:
    """Return the network with folded batch norms, if requested and if it changes no prediction."""
    if not request.fold:
        return model, models.Folding()
    rows = np.unique(np.linspace(0, len(images) - 1, FOLDING_IMAGES).astype(np.int64))
    pixels = next(iter(images.batches(FOLDING_IMAGES, rows, request.device))).float().div_(255)
    return models.fold(model, pixels)


def _folding_provenance(folding: Folding, request: Request) -> dict[str, Any]:
    return {"asked": request.fold, **encode(folding)}
