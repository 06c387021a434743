"""Backbone and recipe → a detector's checkpoint, doing only what is missing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from sdd_eval import records, store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.export import TrainedOn, write_checkpoint
from sdd_eval.checkpoints.state import State
from sdd_eval.data.catalogue import load_objects
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.device import device_name, explain_batch_errors, resolve_device, training_settings
from sdd_eval.errors import InputError
from sdd_eval.object_detection.batches import Batch, epoch_batches
from sdd_eval.object_detection.model import detector_on, detector_spec
from sdd_eval.object_detection.recipe import (
    DetectorRecipe,
    detector_name,
    learning_rate,
    recipe_of,
    resolved_recipe,
)
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.randomness import seed_global
from sdd_eval.records import Card, encode
from sdd_eval.training.data.batches import default_workers
from sdd_eval.training.data.training_data import check_batch_size
from sdd_eval.training.epochs import LossAverage, train_epochs
from sdd_eval.training.resume import TrainingFolder


@dataclass(frozen=True)
class Start:
    """From what a detector starts: a classifier's checkpoint and its card."""

    folder: Path
    card: Card
    trust_code: bool


def train_detector(
    backbone: Path,
    recipe: DetectorRecipe,
    folder: str | Path = "checkpoints",
    *,
    data_root: Path | None = None,
    name: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    trust_code: bool = False,
) -> Card:
    """Fine-tune a detector into `folder/NAME`, from the last finished epoch on; return its card.

    A detector that is finished costs no work. On a CPU an interrupted training ends in exactly
    the weights of an uninterrupted one.

    Args:
        backbone: the folder of the classifier's checkpoint that it starts from.
        recipe: how to train; what it leaves open follows from the backbone.
        folder: where checkpoints lie.
        data_root: where data sets lie; the catalogue's default if None.
        name: of the checkpoint; `DATASET-fasterrcnn-Nepochs-BACKBONE` if None.
        device: "cpu", "cuda", "cuda:1" …, or "auto".
        threads: for work on the CPU; torch's present number if None.
        workers: processes that decode images, which changes no number; as many as threads if
            None, and none for one.
        progress: who is told, in images.
        overwrite: replace a detector of another recipe, or a damaged one.
        trust_code: run the code that the backbone's card names, if it names a factory.

    Raises:
        InputError: the recipe, the backbone, the data or the folder will not do.
    """
    card = replace(checkpoint.read_card(backbone), name=backbone.resolve().name)
    checkpoint.require_trust(card, trust_code)
    recipe = resolved_recipe(recipe, card)
    place = Path(folder) / store.folder_name("--name", name or detector_name(recipe))
    if place.resolve() == backbone.resolve():
        raise InputError(f"{place} is the backbone itself; choose another --name")
    making = TrainingFolder(place, recipe, recipe_of, "an object detector", overwrite)
    start = Start(backbone, card, trust_code)

    def complete() -> Card:
        own = resolve_device(device)
        data = load_objects(recipe.dataset, data_root, "train")
        check_batch_size(recipe, len(data))
        return _complete(making, start, data, own, threads, workers, progress or NoProgress())

    return making.made(complete)


def _complete(
    making: TrainingFolder[DetectorRecipe],
    start: Start,
    data: DetectionSet,
    device: torch.device,
    threads: int | None,
    workers: int | None,
    progress: Progress,
) -> Card:
    """Train the epochs that are missing, and export."""
    recipe, channels = making.recipe, start.card.model.channels
    state = making.begun(data.fingerprint, threads).on(device_name(device))
    readers = default_workers(state.threads) if workers is None else workers
    with training_settings(device, state.threads, False), explain_batch_errors(recipe.batch_size):
        detector, spec = _detector(start, recipe, data)
        detector.to(device)
        state = fit(
            detector,
            lambda epoch: epoch_batches(data, recipe, epoch, channels, device, readers),
            len(data),
            state,
            keep=making.keep,
            progress=progress,
        )
        return write_checkpoint(
            making.place,
            detector,
            state,
            TrainedOn(len(data), data.provenance),
            model=spec,
            recipe=None,
            metrics={},
            provenance=_told(recipe, start.card),
        )


def _detector(
    start: Start, recipe: DetectorRecipe, data: DetectionSet
) -> tuple[nn.Module, records.ModelSpec]:
    """The backbone's weights with everything else freshly initialised."""
    found = data.annotations
    names = dict(zip(found.category_ids, found.class_names, strict=True))
    spec = detector_spec(start.card.model, recipe, names)
    assert recipe.seed is not None
    network = checkpoint.load(start.folder, trust_code=start.trust_code)
    seed_global(recipe.seed, "weights")
    return detector_on(network, spec), spec


def _told(recipe: DetectorRecipe, backbone: Card) -> dict[str, Any]:
    """How a detector was trained, and on what it stands."""
    return {
        "torchvision": torchvision.__version__,
        "detector": encode(recipe),
        "backbone": {
            "name": backbone.name,
            "weights_sha256": backbone.weights_sha256,
            "recipe": encode(backbone.recipe),
        },
    }


def fit(
    detector: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    images: int,
    state: State[DetectorRecipe],
    *,
    keep: Callable[[State[DetectorRecipe]], None],
    progress: Progress,
) -> State[DetectorRecipe]:
    """Train from a state to the recipe's last epoch; `keep` is called after each epoch.

    Raises:
        InputError: a loss or a weight is no longer finite; what was kept is the epoch before.
    """
    recipe = state.recipe
    assert recipe.seed is not None
    seed, steps = recipe.seed, -(-images // recipe.batch_size)
    optimiser = _optimiser(detector, recipe)

    def train_epoch(epoch: int) -> dict[str, float]:
        seed_global(seed, "regions", epoch)  # both heads draw the regions they learn from
        tally = LossAverage(epoch)

        detector.train()
        for step, batch in enumerate(batches(epoch)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch, step, steps)
            losses = _losses(detector(batch.images, batch.targets))
            tally.add(losses, len(batch.images))
            tally.check()  # before a step along it: no region can be found by broken weights
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward([losses["loss"]])
            optimiser.step()
            progress.advance(len(batch.images))
        return {"lr": learning_rate(recipe, epoch, steps - 1, steps), **tally.means()}

    return train_epochs(
        state, detector, optimiser, train_epoch,
        label=f"detector on {recipe.dataset}", images=images, keep=keep, progress=progress,
    )  # fmt: skip


def _optimiser(detector: nn.Module, recipe: DetectorRecipe) -> torch.optim.SGD:
    """SGD over what is not frozen."""
    assert recipe.lr is not None
    learned = [each for each in detector.parameters() if each.requires_grad]
    return torch.optim.SGD(learned, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


def _losses(told: dict[str, Tensor]) -> dict[str, Tensor]:
    """The detector's losses by name, and their sum."""
    terms = {name.removeprefix("loss_"): loss for name, loss in told.items()}
    return {**terms, "loss": torch.stack(list(terms.values())).sum()}
