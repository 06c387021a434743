"""Train a recipe to a checkpoint, doing only the missing work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from sdd_eval import store
from sdd_eval.checkpoints.export import accuracy, logits_of, write_checkpoint
from sdd_eval.checkpoints.state import State
from sdd_eval.data.images import ImageSet
from sdd_eval.device import (
    default_threads,
    device_name,
    explain_batch_errors,
    resolve_device,
    training_settings,
)
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct, nll
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.foreign import source_sha256
from sdd_eval.models.network import Network
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.provenance import CardProvenance
from sdd_eval.randomness import seed_global
from sdd_eval.records import Card, Recipe
from sdd_eval.training.analysis.kl_gradients import probe_of
from sdd_eval.training.data.batches import default_workers, training_set
from sdd_eval.training.data.training_data import (
    TrainingData,
    check_class_sizes,
    load_training_data,
    with_augmentation,
)
from sdd_eval.training.distributed.processes import Processes, join_processes
from sdd_eval.training.exported import ExportedWeights
from sdd_eval.training.loop import fit
from sdd_eval.training.objective import Objective, initialise_as_authors
from sdd_eval.training.recipe import checkpoint_name, method_of, validated
from sdd_eval.training.resume import TrainingFolder
from sdd_eval.training.start import Start


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
    data: Callable[[], TrainingData] | None = None,
) -> Card:
    """Train a recipe into `folder/NAME`, resuming after the last finished epoch; return its card.

    A finished checkpoint is not trained again. On a CPU, a resumed run ends with exactly the
    weights of an uninterrupted one, because it keeps its number of threads. With torchrun, all
    processes train one network, with the losses of a single process up to rounding.

    Args:
        data_root: folder of data sets; the catalogue's default if None.
        name: name of the checkpoint; `checkpoint_name(recipe)` if None.
        device: "cpu", "cuda", "cuda:1" …, or "auto".
        threads: CPU threads of each process; if None, torch's current number, or one for a
            small network.
        workers: worker processes of each process that decode and augment photographs, without
            effect on results; if None, as many as threads, or none for a single thread.
        progress: reports progress in images.
        overwrite: replace a checkpoint of another recipe, or a damaged one.
        trust_code: allow running the network factory that `recipe.arch` names, if any.
        data: called to load the images if needed; by default loads the recipe's data set.

    Raise InputError if the recipe or the data are invalid, or the folder contains something else.
    """
    recipe = validated(recipe)
    check_arch(recipe.arch, trust_code=trust_code)
    start = Start.of(recipe, Path(folder), trust_code=trust_code)
    recipe = recipe if start is None else start.identified(recipe)
    path = Path(folder) / store.folder_name("--name", name or checkpoint_name(recipe))
    target = TrainingFolder(path, recipe, lambda card: card.recipe, "a classifier", overwrite)
    load_data = data or (lambda: load_training_data(recipe, data_root))
    with join_processes(device) as processes:

        def complete() -> Card:
            resolved = resolve_device(processes.device)
            split = load_data().split(recipe)
            display = progress if progress is not None and processes.first else NoProgress()
            return _complete(target, split, start, resolved, processes, threads, workers, display)

        return target.run(complete, processes)


def _complete(
    target: TrainingFolder[Recipe],
    data: TrainingData,
    start: Start | None,
    device: torch.device,
    processes: Processes,
    threads: int | None,
    workers: int | None,
    progress: Progress,
) -> Card:
    recipe = with_augmentation(target.recipe, data.train)
    target = replace(target, recipe=recipe)
    threads = _default_threads(recipe, data) if threads is None else threads
    state = processes.broadcast(lambda: target.start_state(data.train.fingerprint, threads))
    state = state.resumed_on(device_name(device), processes.count)
    check_class_sizes(data.train, recipe, method_of(recipe))
    processes.check_count(recipe)

    settings = training_settings(
        device, state.threads, recipe.deterministic, recipe.precision == "tf32"
    )
    with settings, explain_batch_errors(recipe.batch_size):
        objective = _objective(recipe, data, start, device)
        validation = data.validation if processes.first else None
        exported = ExportedWeights(objective.network, recipe, validation)
        _compile(objective)
        worker_count = default_workers(state.threads) if workers is None else workers
        images = training_set(data.train, device, recipe.augmentation, worker_count)
        probe = probe_of(objective.network, data.train, recipe, device)
        state = fit(
            objective, images, state, exported,
            save=target.save if processes.first else lambda state: None,
            progress=progress, probe=probe, processes=processes,
        )  # fmt: skip
        return processes.broadcast(lambda: export(target.folder, exported, state, data, device))


def _default_threads(recipe: Recipe, data: TrainingData) -> int | None:
    """Return one thread for a small network; None for a third-party network."""
    if ":" in recipe.arch:
        return None
    spec = data.spec(recipe)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = build(spec)
    return default_threads(network, recipe.batch_size * spec.image_size**2)


def _objective(
    recipe: Recipe, data: TrainingData, start: Start | None, device: torch.device
) -> Objective:
    authors = recipe.init == "authors"
    seed_global(recipe.seed, "weights")
    network = build(data.spec(recipe), trust_code=True)  # checked by `train`
    if start is not None:
        start.load(network)
    elif authors:
        initialise_as_authors(network)
    # A part may be a copy of the network, so that the network needs its initial weights before.
    objective = Objective(network, method_of(recipe), recipe, len(data.train))
    if authors:
        parts = objective.parts.values()
        trained = [part for part in parts if any(p.requires_grad for p in part.parameters())]
        initialise_as_authors(*trained)
    objective = objective.to(device)
    if recipe.channels_last:
        objective = objective.to(memory_format=torch.channels_last)
    return objective


def _compile(objective: Objective) -> None:
    if objective.recipe.compile:
        for module in objective.modules():  # parts of a method may contain networks, too
            if isinstance(module, Network):
                module.compile_activations()


def export(
    folder: Path,
    exported: ExportedWeights,
    state: State[Recipe],
    data: TrainingData,
    device: torch.device,
) -> Card:
    """Write weights, history and card; the method's training-only parts are not written."""
    recipe = state.recipe
    network, best_epoch = exported.export()
    metrics = _metrics(network, data, device)
    if best_epoch is not None:
        metrics["best_epoch"] = best_epoch
    return write_checkpoint(
        folder,
        network,
        state,
        data.train,
        model=network.spec,
        recipe=recipe,
        metrics=metrics,
        provenance=CardProvenance(
            precision=recipe.precision,
            standardisation=_standardisation(recipe, data.train),
            validation_images=len(data.validation or ()),
            test_images=len(data.test or ()),
            code_sha256=source_sha256(recipe.arch),
        ),
        epoch=best_epoch,
    )


def _standardisation(recipe: Recipe, images: ImageSet) -> str:
    """Return whose constants are used: for grey images, the data set's own (`Recipe`)."""
    own = recipe.standardisation == "authors" and images.channels != 3
    return recipe.dataset if own else recipe.standardisation


def _metrics(network: Network, data: TrainingData, device: torch.device) -> dict[str, float]:
    metrics: dict[str, float] = {}
    if (validation := data.validation) is not None:
        logits = logits_of(network, validation, device)
        confidence, correct = confidence_and_correct(logits, validation.labels)
        metrics["validation_accuracy"] = float(correct.mean())
        metrics["validation_ece"] = ece(confidence, correct)
        metrics["validation_nll"] = nll(logits, validation.labels)
    if (test := data.test) is not None and test.labels is not None and len(test):
        metrics["accuracy"] = accuracy(logits_of(network, test, device), test.labels)
    return metrics
