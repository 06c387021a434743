"""Writing a trained network as a checkpoint, and its accuracy for the card."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray
from torch import nn

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.folder import CARD
from sdd_eval.checkpoints.history import GRADIENT_COLUMNS, metric_of
from sdd_eval.checkpoints.state import State
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.data.images import ImageSet, Labels
from sdd_eval.models.network import Network
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.provenance import CardProvenance
from sdd_eval.records import Card, ModelSpec, Recipe
from sdd_eval.version import __version__

#: Columns of a history that are not losses.
_OTHER = frozenset({"epoch", "lr", "seconds", "images_per_second", *GRADIENT_COLUMNS})


def write_checkpoint(
    folder: Path,
    network: nn.Module,
    state: State[Any],
    images: ImageSet | DetectionSet,
    *,
    model: ModelSpec,
    recipe: Recipe | None,
    metrics: Mapping[str, float],
    provenance: CardProvenance,
    epoch: int | None = None,
) -> Card:
    """Write weights, history and card, the card last.

    Besides `metrics`, the card contains the losses of the epoch of the weights (the last if None);
    besides `provenance`, the software, machine, data and speed of the training run.
    """
    card = Card(
        name=folder.name,
        model=model,
        recipe=recipe,
        metrics={**_losses(state, state.epoch if epoch is None else epoch), **metrics},
        weights_sha256=checkpoint.write_weights(folder, network),
        provenance=_provenance(state, images, provenance),
    )
    checkpoint.write_history(folder, state.history)
    store.write_record(folder / CARD, card)
    return card


def _losses(state: State[Any], epoch: int) -> dict[str, float]:
    (row,) = (row for row in state.history if row["epoch"] == epoch)
    return {name: value for name, value in row.items() if metric_of(name)[0] not in _OTHER}


def _provenance(
    state: State[Any], images: ImageSet | DetectionSet, further: CardProvenance
) -> CardProvenance:
    return structs.replace(
        further,
        **software(),
        machine=platform.machine(),
        devices=state.devices,
        threads=state.threads,
        processes=state.processes,
        seconds=round(state.seconds, 3),
        images_per_second=round(state.epoch * len(images) / state.seconds, 1),
        reproducible=_reproducible(state),
        dataset=state.recipe.dataset,
        data_origin=images.provenance,
        data_fingerprint=state.fingerprint,
        class_names=tuple(getattr(images, "class_names", ())) or None,
        training_images=len(images),
    )


def software() -> dict[str, Any]:
    """Return the time and the versions of Python and packages, for the provenance of a card."""
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sdd_eval": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _reproducible(state: State[Any]) -> str:
    one_device = len(state.devices) == 1 and state.processes in ((), (1,))
    deterministic = getattr(state.recipe, "deterministic", False)
    if one_device and (state.devices == ("cpu",) or deterministic):
        return "bit for bit, on such a device with as many threads"
    return "to seed noise"


#: Maximum pixels per channel in a batch: 167 images of 224 × 224.
PIXELS_PER_BATCH = 1 << 23


def accuracy(logits: NDArray[np.float32], labels: Labels | None) -> float:
    """Return the share of images (n,) whose largest logit (n, classes) is that of their label."""
    return float(np.mean(logits.argmax(axis=1) == labels))


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
    logits = []
    with torch.inference_mode():
        size = max(1, min(batch_size, PIXELS_PER_BATCH // images.image_size**2))
        for batch in images.batches(size, device=str(device)):
            logits.append(network(batch.float() / 255).float().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(logits)
