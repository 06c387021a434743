"""Recipe → checkpoint: train what is missing of it, and nothing where it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.export import TrainedOn, accuracy, logits_of, write_checkpoint
from sdd_eval.checkpoints.state import State
from sdd_eval.device import device_name, explain_batch_errors, resolve_device, training_settings
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct, nll
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.network import Network
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.randomness import seed_global
from sdd_eval.records import Card, Recipe
from sdd_eval.training.analysis.kl_gradients import probe_of
from sdd_eval.training.data.batches import default_workers, training_set
from sdd_eval.training.data.training_data import TrainingData, check_class_sizes, load_training_data
from sdd_eval.training.distributed.processes import Processes, join_processes
from sdd_eval.training.loop import fit
from sdd_eval.training.objective import Objective, initialise_as_authors
from sdd_eval.training.recipe import checkpoint_name, method_of, validated, with_augmentation
from sdd_eval.training.resume import TrainingFolder


def train(
    recipe: Recipe,
    folder: str | Path = "checkpoints",
    *,
    data_root: str | Path | None = None,
    name: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    trust_code: bool = False,
) -> Card:
    """Train a recipe into `folder/NAME`, going on from the last finished epoch; return its card.

    A checkpoint that is finished costs no work. On a CPU an interrupted training ends in exactly
    the weights of an uninterrupted one, with the thread count that it began with. Started by
    torchrun all processes train one network: their losses are those of one process to rounding.

    Args:
        recipe: how to train; its data set is the catalogue's.
        folder: where checkpoints lie.
        data_root: where data sets lie; the catalogue's default if None.
        name: of the checkpoint; `recipes.checkpoint_name` if None.
        device: "cpu", "cuda", "cuda:1" …, or "auto".
        threads: of each process, for work on the CPU; torch's present number if None.
        workers: of each process, further processes that decode and augment photographs, which
            changes no number; if None as many as threads, and none for one.
        progress: who is told, in images.
        overwrite: replace a checkpoint of another recipe, or a damaged one.
        trust_code: run the code that the recipe's `arch` names, if it names a factory.

    Raises:
        InputError: the recipe, the data or the folder will not do.
    """
    recipe = validated(recipe)
    return train_on(
        lambda: load_training_data(recipe, data_root),
        recipe,
        Path(folder) / store.folder_name("--name", name or checkpoint_name(recipe)),
        device=device,
        threads=threads,
        workers=workers,
        progress=progress,
        overwrite=overwrite,
        trust_code=trust_code,
    )


def train_on(
    material: Callable[[], TrainingData],
    recipe: Recipe,
    place: Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    trust_code: bool = False,
) -> Card:
    """`train` with images of your own, in a folder of your own; `material` is read if needed."""
    recipe = validated(recipe)
    check_arch(recipe.arch, trust_code=trust_code)
    making = TrainingFolder(place, recipe, lambda card: card.recipe, "a classifier", overwrite)
    with join_processes(device) as processes:

        def complete() -> Card:
            own = resolve_device(processes.device)
            parted = material().parted(recipe)
            heard = progress if progress is not None and processes.first else NoProgress()
            return _complete(making, parted, own, processes, threads, workers, heard)

        return making.made(complete, processes)


def _complete(
    making: TrainingFolder[Recipe],
    material: TrainingData,
    device: torch.device,
    processes: Processes,
    threads: int | None,
    workers: int | None,
    progress: Progress,
) -> Card:
    """Train the epochs that are missing, and export."""
    recipe = with_augmentation(making.recipe, material.train)
    making = replace(making, recipe=recipe)
    state = processes.first_finds(lambda: making.begun(material.train.fingerprint, threads))
    state = state.on(device_name(device), processes.count)
    check_class_sizes(material.train, recipe, method_of(recipe))
    processes.refuse_too_many(recipe)

    kernels = training_settings(
        device, state.threads, recipe.deterministic, recipe.precision == "tf32"
    )
    with kernels, explain_batch_errors(recipe.batch_size):
        objective = _objective(recipe, material, device)
        readers = default_workers(state.threads) if workers is None else workers
        data = training_set(material.train, device, recipe.augmentation, readers)
        probe = probe_of(objective.network, material.train, recipe, device)
        state = fit(
            objective, data, state,
            keep=making.keep if processes.first else lambda state: None,
            progress=progress, probe=probe, processes=processes,
        )  # fmt: skip
        network = objective.network
        return processes.first_finds(lambda: export(making.place, network, state, material, device))


def _objective(recipe: Recipe, material: TrainingData, device: torch.device) -> Objective:
    """The freshly initialised network with the method's parts, on the device."""
    seed_global(recipe.seed, "weights")
    network = build(material.spec(recipe), trust_code=True)  # or `train_on` had refused it
    objective = Objective(network, method_of(recipe), recipe)
    if recipe.init == "authors":
        initialise_as_authors(objective.network, *objective.parts.values())
    objective = objective.to(device)
    if recipe.channels_last:
        objective = objective.to(memory_format=torch.channels_last)
    if recipe.compile:
        for module in objective.modules():  # a method's parts may hold networks too
            if isinstance(module, Network):
                module.compile_activations()
    return objective


def export(
    folder: Path,
    network: Network,
    state: State[Recipe],
    data: TrainingData,
    device: torch.device,
) -> Card:
    """Write weights, history and card; the method's training-only parts stay behind."""
    recipe, train = state.recipe, data.train
    held, test = data.validation, data.test
    return write_checkpoint(
        folder,
        network,
        state,
        TrainedOn(len(train), train.provenance),
        model=network.spec,
        recipe=recipe,
        metrics=_metrics(network, data, device),
        provenance={
            "precision": recipe.precision,
            "standardisation": recipe.standardisation,
            "validation_images": 0 if held is None else len(held),
            "test_images": 0 if test is None else len(test),
            **checkpoint.code_of(recipe.arch),
        },
    )


def _metrics(network: Network, data: TrainingData, device: torch.device) -> dict[str, float]:
    """What the further images say."""
    metrics: dict[str, float] = {}
    test, held = data.test, data.validation
    if held is not None:
        metrics |= _validation(logits_of(network, held, device), held.labels)
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
