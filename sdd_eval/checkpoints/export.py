"""What was trained → the files of its checkpoint, the card last."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.history import GRADIENT_COLUMNS, metric_of
from sdd_eval.checkpoints.state import State
from sdd_eval.data.images import ImageSet
from sdd_eval.models.network import Network
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Card, ModelSpec, Recipe
from sdd_eval.version import __version__

#: Columns of a history that are no loss.
_OTHER = frozenset({"epoch", "lr", "seconds", "images_per_second", *GRADIENT_COLUMNS})


@dataclass(frozen=True)
class TrainedOn:
    """Of what was trained on: how many images, and how far they are their publisher's."""

    count: int
    origin: str


def write_checkpoint(
    place: Path,
    network: nn.Module,
    state: State[Any],
    images: TrainedOn,
    *,
    model: ModelSpec,
    recipe: Recipe | None,
    metrics: Mapping[str, float],
    provenance: Mapping[str, Any],
) -> Card:
    """Write weights, history and card.

    The card has the last epoch's losses before the `metrics`, and all that every training tells of
    its making beside the `provenance`.
    """
    card = Card(
        name=place.name,
        model=model,
        recipe=recipe,
        metrics={**_last_losses(state), **metrics},
        weights_sha256=checkpoint.write_weights(place, network),
        provenance={**_provenance(state, images), **provenance},
    )
    checkpoint.write_history(place, state.history)
    store.write_record(place / checkpoint.CARD, card)
    return card


def _last_losses(state: State[Any]) -> dict[str, float]:
    """The last epoch's losses and training accuracy."""
    last = state.history[-1].items()
    return {name: value for name, value in last if metric_of(name)[0] not in _OTHER}


def _provenance(state: State[Any], images: TrainedOn) -> dict[str, Any]:
    """By what, on what and how fast the weights were made."""
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sdd_eval": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "devices": list(state.devices),
        "threads": state.threads,
        "processes": list(state.processes),
        "seconds": round(state.seconds, 3),
        "images_per_second": round(state.epoch * images.count / state.seconds, 1),
        "reproducible": _reproducible(state),
        "dataset": state.recipe.dataset,
        "data_origin": images.origin,
        "data_fingerprint": state.fingerprint,
        "training_images": images.count,
    }


def _reproducible(state: State[Any]) -> str:
    """How far the same command gives the same weights again, interrupted or not."""
    one_device = len(state.devices) == 1 and state.processes in ((), (1,))
    deterministic = getattr(state.recipe, "deterministic", False)
    if one_device and (state.devices == ("cpu",) or deterministic):
        return "bit for bit, on such a device with as many threads"
    return "to seed noise"


#: Pixels of one channel in a batch at most: 167 images of 224 × 224.
PIXELS_AT_A_TIME = 1 << 23


def accuracy(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> float:
    """Return the share of labelled images that the network classifies correctly."""
    found = logits_of(network, images, device, batch_size, progress)
    return float(np.mean(found.argmax(axis=1) == images.labels))


def logits_of(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the logits (n, classes) of all images."""
    progress = progress or NoProgress()
    progress.start(images.name, len(images))
    network.eval()
    found = []
    with torch.inference_mode():
        fitting = max(1, min(batch_size, PIXELS_AT_A_TIME // images.image_size**2))
        for batch in images.batches(fitting, device=str(device)):
            found.append(network(batch.float() / 255).float().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(found)
