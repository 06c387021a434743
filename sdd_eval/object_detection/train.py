"""Fine-tuning of a detector on a classifier's backbone, resumable after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
import torchvision
from torch import nn

from sdd_eval import records, store
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.checkpoints.export import write_checkpoint
from sdd_eval.checkpoints.state import State
from sdd_eval.data.catalogue import dataset
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.device import device_name, explain_batch_errors, resolve_device, training_settings
from sdd_eval.errors import InputError
from sdd_eval.models.faster_rcnn import detector_on
from sdd_eval.models.network import Network
from sdd_eval.object_detection.batches import Loader, ObjectBatch
from sdd_eval.object_detection.recipe import (
    DetectorRecipe,
    detector_name,
    detector_spec,
    learning_rate,
    recipe_of,
    resolved_recipe,
)
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.provenance import CardProvenance
from sdd_eval.randomness import seed_global
from sdd_eval.records import OBJECT_DETECTION, Card, encode
from sdd_eval.training.data.batches import default_workers
from sdd_eval.training.data.training_data import check_batch_size
from sdd_eval.training.epochs import LossAverage, train_epochs
from sdd_eval.training.resume import TrainingFolder


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
    """Fine-tune a detector into `folder/NAME`, or resume it, and return its card.

    A finished detector is not trained again. On a CPU, an interrupted run ends with exactly the
    weights of an uninterrupted one. Arguments that are not listed are those of `training.train`.

    Args:
        backbone: the folder of the classifier's checkpoint.
        recipe: how to train; defaults are filled in from the backbone.
        name: name of the checkpoint; `DATASET-fasterrcnn-Nepochs-BACKBONE` if None.

    Raises:
        InputError: the recipe, the backbone, the data or the folder is invalid.
    """
    classifier = Checkpoint.open(backbone, trust_code=trust_code)
    recipe = resolved_recipe(recipe, classifier.card)
    path = Path(folder) / store.folder_name("--name", name or detector_name(recipe))
    if path.resolve() == backbone.resolve():
        raise InputError(f"{path} is the backbone itself; choose another --name")
    target = TrainingFolder(path, recipe, recipe_of, "an object detector", overwrite)

    def complete() -> Card:
        resolved = resolve_device(device)
        data = dataset(recipe.dataset, data_root, OBJECT_DETECTION).objects("train")
        check_batch_size(recipe.dataset, recipe.batch_size, len(data))
        return _complete(
            target, classifier, data, resolved, threads, workers, progress or NoProgress()
        )

    return target.run(complete)


def _complete(
    target: TrainingFolder[DetectorRecipe],
    backbone: Checkpoint,
    data: DetectionSet,
    device: torch.device,
    threads: int | None,
    workers: int | None,
    progress: Progress,
) -> Card:
    recipe = target.recipe
    state = target.start_state(data.fingerprint, threads).resumed_on(device_name(device))
    workers = default_workers(state.threads) if workers is None else workers
    loader = Loader(data, backbone.spec.channels, device, workers)
    with training_settings(device, state.threads, False), explain_batch_errors(recipe.batch_size):
        detector, spec = _detector(backbone, recipe, data)
        detector.to(device)
        state = fit(
            detector,
            lambda epoch: loader.epoch(recipe, epoch),
            len(data),
            state,
            save=target.save,
            progress=progress,
        )
        return write_checkpoint(
            target.folder,
            detector,
            state,
            data,
            model=spec,
            recipe=None,
            metrics={},
            provenance=_provenance(recipe, backbone.card),
        )


def _detector(
    backbone: Checkpoint, recipe: DetectorRecipe, data: DetectionSet
) -> tuple[nn.Module, records.ModelSpec]:
    """Build the detector with the backbone's weights and all other weights initialised."""
    annotations = data.annotations
    names = dict(zip(annotations.category_ids, annotations.class_names, strict=True))
    spec = detector_spec(backbone.spec, recipe, names)
    assert recipe.seed is not None
    network = cast(Network, backbone.network())
    seed_global(recipe.seed, "weights")
    return detector_on(network, spec), spec


def _provenance(recipe: DetectorRecipe, backbone: Card) -> CardProvenance:
    facts = {"name": backbone.name, "weights_sha256": backbone.weights_sha256}
    return CardProvenance(
        torchvision=torchvision.__version__,
        detector=encode(recipe),
        backbone={**facts, "recipe": encode(backbone.recipe)},
    )


def fit(
    detector: nn.Module,
    batches: Callable[[int], Iterator[ObjectBatch]],
    images: int,
    state: State[DetectorRecipe],
    *,
    save: Callable[[State[DetectorRecipe]], None],
    progress: Progress,
) -> State[DetectorRecipe]:
    """Train to the last epoch and `save` after each; raise InputError for non-finite losses."""
    recipe = state.recipe
    assert recipe.seed is not None
    assert recipe.lr is not None
    seed, steps = recipe.seed, -(-images // recipe.batch_size)
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(
        trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
    )

    def train_epoch(epoch: int) -> dict[str, float]:
        seed_global(seed, "regions", epoch)  # both heads sample regions
        averages = LossAverage(epoch)
        detector.train()
        for step, batch in enumerate(batches(epoch)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch, step, steps)
            terms = detector(batch.images, batch.targets)
            losses = {name.removeprefix("loss_"): loss for name, loss in terms.items()}
            losses["loss"] = torch.stack([*losses.values()]).sum()
            averages.add(losses, len(batch.images))
            averages.check()  # before the step, as non-finite weights propose no regions
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward([losses["loss"]])
            optimiser.step()
            progress.advance(len(batch.images))
        return {"lr": learning_rate(recipe, epoch, steps - 1, steps), **averages.means()}

    return train_epochs(
        state, detector, optimiser, train_epoch,
        label=f"detector on {recipe.dataset}", images=images, save=save, progress=progress,
    )  # fmt: skip
