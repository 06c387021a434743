"""Collect, score, and write down how it was done."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sdd_eval.data.images import ImageSet
from sdd_eval.evaluation.inputs import Inputs
from sdd_eval.evaluation.request import Request
from sdd_eval.evaluators.subject import Subject
from sdd_eval.progress import Progress, Silent
from sdd_eval.records import Card, ModelSpec, Run, encode

if TYPE_CHECKING:
    import torch

#: Whose versions a run records.
PACKAGES = ("sdd-eval", "torch", "torchvision", "torchattacks", "numpy", "scipy", "scikit-learn")


def run(subject: Subject, inputs: Inputs, name: str, weights: str, command: str) -> Run:
    """Collect, score, and write down how."""
    from sdd_eval.evaluators.gradients import full_float32

    evaluator, card = inputs.evaluator, subject.card
    begun = time.perf_counter()
    with full_float32():
        arrays = evaluator.collect(subject)
    measurements = tuple(evaluator.score(arrays))
    seconds = time.perf_counter() - begun
    indices = subject.indices()
    return Run(
        checkpoint=name,
        weights_sha256=weights,
        dataset=inputs.dataset,
        data_fingerprint=inputs.fingerprint,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(
            {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
        ),
        limit=subject.limit,
        n=len(indices),
        measurements=measurements,
        provenance={
            "card": encode(card.recipe) if card and card.recipe else None,
            "model": encode(subject.spec),
            "data": _data_provenance(subject.data, inputs.sets),
            **({"networks": inputs.compared} if inputs.networks else {}),
            "versions": _versions(),
            "machine": f"{platform.system()} {platform.machine()}",
            **_arithmetic(subject.device),
            "batch_size": subject.batch_size,
            "seed": subject.seed,
            "seconds": round(seconds, 3),
            "command": command,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        arrays=arrays,
    )


def subject_of(
    model: torch.nn.Module,
    spec: ModelSpec,
    inputs: Inputs,
    request: Request,
    progress: Progress | None,
    card: Card | None,
) -> Subject:
    """What the evaluator may touch."""
    return Subject(
        model=model,
        spec=spec,
        data=inputs.data,
        sets=inputs.sets,
        networks=inputs.networks,
        card=card,
        device=request.device,
        batch_size=request.batch_size,
        limit=request.limit,
        seed=request.seed,
        progress=progress or Silent(),
    )


def _data_provenance(data: ImageSet, sets: Mapping[str, Any]) -> dict[str, Any]:
    """Every data set of a run: how far it is the publisher's, how many images, its content."""
    found = {}
    for name, images in {data.name: data, **sets}.items():
        found[name] = {"origin": images.origin, "fingerprint": images.fingerprint}
        if isinstance(images, ImageSet):
            found[name]["images"] = len(images)
        else:
            found[name]["frost"] = images.frost
    return found


def _versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _arithmetic(device: str) -> dict[str, Any]:
    """The device by its own name, the threads, and whether matrix products may use TF32."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "threads": torch.get_num_threads(),
        "tf32": on_gpu and torch.backends.cuda.matmul.allow_tf32,
    }
