"""A trained network → the files of its checkpoint, the card last."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import sdd_eval
from sdd_eval import store
from sdd_eval.data.images import ImageSet
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct, nll
from sdd_eval.models.network import Network
from sdd_eval.progress import Progress, Silent
from sdd_eval.records import Card
from sdd_eval.training import checkpoints
from sdd_eval.training.history import MEANINGS, metric_of
from sdd_eval.training.material import Material
from sdd_eval.training.state import State

#: So many pixels of one channel are looked at together at most: 167 images of 224 × 224.
PIXELS_AT_A_TIME = 1 << 23


def export(
    place: Path, network: Network, state: State, material: Material, device: torch.device
) -> Card:
    """Write weights, history and card; the method's training-only parts stay behind."""
    card = Card(
        name=place.name,
        model=network.spec,
        recipe=state.recipe,
        metrics=_metrics(network, state, material, device),
        weights_sha256=checkpoints.write_weights(place, network),
        provenance=_provenance(state, material),
    )
    checkpoints.write_history(place, state.history)
    store.write_record(place / checkpoints.CARD, card)
    return card


def accuracy(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> float:
    """The fraction of labelled images that the network classifies rightly."""
    found = _logits(network, images, device, batch_size, progress)
    return float(np.mean(found.argmax(axis=1) == images.labels))


def _logits(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Logits (n, classes) of all images."""
    progress = progress or Silent()
    progress.start(images.name, len(images))
    network.eval()
    found = []
    with torch.inference_mode():
        fitting = max(1, min(batch_size, PIXELS_AT_A_TIME // images.image_size**2))
        for batch in images.batches(fitting, device=str(device)):
            found.append(network(batch.float() / 255).float().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(found)


def _metrics(
    network: Network, state: State, material: Material, device: torch.device
) -> dict[str, float]:
    """The last epoch's losses and training accuracy, and what the further images say."""
    other = {"epoch", "lr", "seconds", "images_per_second", *MEANINGS}
    last = state.history[-1].items()
    metrics = {name: value for name, value in last if metric_of(name)[0] not in other}
    test, held = material.test, material.validation
    if held is not None:
        metrics |= _validation(_logits(network, held, device), held.labels)
    if test is not None and test.labels is not None and len(test):
        metrics["accuracy"] = accuracy(network, test, device)
    return metrics


def _validation(logits: NDArray[np.float32], labels: NDArray[np.int64] | None) -> dict[str, float]:
    """By what a choice may be made: accuracy, ECE (ten bins) and NLL of the held-out images."""
    confidence, correct = confidence_and_correct(logits, labels)
    return {
        "validation_accuracy": float(correct.mean()),
        "validation_ece": ece(confidence, correct),
        "validation_nll": nll(logits, labels),
    }


def _provenance(state: State, material: Material) -> Mapping[str, Any]:
    """By what, on what, from what and how fast the weights were made."""
    images = state.epoch * len(material.train)
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sdd_eval": sdd_eval.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "devices": list(state.devices),
        "threads": state.threads,
        "processes": list(state.processes),
        "precision": state.recipe.precision,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(images / state.seconds, 1),
        "reproducible": _reproducible(state),
        "standardisation": state.recipe.standardisation,
        "dataset": state.recipe.dataset,
        "data_origin": material.train.origin,
        "data_fingerprint": state.fingerprint,
        "training_images": len(material.train),
        "validation_images": 0 if material.validation is None else len(material.validation),
        "test_images": 0 if material.test is None else len(material.test),
        **checkpoints.code_of(state.recipe.arch),
    }


def _reproducible(state: State) -> str:
    """How far the same command gives the same weights again, interrupted or not."""
    one_device = len(state.devices) == 1 and state.processes in ((), (1,))
    if one_device and (state.devices == ("cpu",) or state.recipe.deterministic):
        return "bit for bit, on such a device with as many threads"
    return "to seed noise"
