"""Recipe → checkpoint: train what is missing of it, and nothing where it is finished."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.network import Network
from sdd_eval.progress import Progress, Silent
from sdd_eval.records import Card, Recipe
from sdd_eval.training import checkpoints
from sdd_eval.training.batches import training_set
from sdd_eval.training.export import export
from sdd_eval.training.loop import fit
from sdd_eval.training.material import Material, read_material, refuse_too_few
from sdd_eval.training.objective import Objective
from sdd_eval.training.probe import probe_of
from sdd_eval.training.processes import Processes, joined
from sdd_eval.training.recipes import checked, checkpoint_name, differing, method_of, settled
from sdd_eval.training.state import FILE, State, read_state, write_state
from sdd_eval.training.streaming import usual_workers
from sdd_eval.training.surroundings import (
    described,
    explained,
    seed_layers,
    surroundings,
    usable,
)


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
        name: of the checkpoint; `DATASET-ARCH-METHOD[-sddλ]-seedN` if None.
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
    recipe = checked(recipe)
    return train_on(
        lambda: read_material(recipe, data_root),
        recipe,
        Path(folder) / store.plain_name("--name", name or checkpoint_name(recipe)),
        device=device,
        threads=threads,
        workers=workers,
        progress=progress,
        overwrite=overwrite,
        trust_code=trust_code,
    )


def train_on(
    material: Callable[[], Material],
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
    recipe = checked(recipe)
    check_arch(recipe.arch, trust_code=trust_code)
    with joined(device) as processes, _held(place, processes):
        finished = processes.first_finds(lambda: _left(place, recipe, overwrite))
        if finished is None:
            processes = replace(processes, device=str(usable(processes.device)))
            parted = material().parted(recipe)
            heard = progress if progress is not None and processes.first else Silent()
            finished = _complete(place, recipe, parted, processes, threads, workers, heard)
        if processes.first:
            (place / FILE).unlink(missing_ok=True)
        return finished


@contextlib.contextmanager
def _held(place: Path, processes: Processes) -> Iterator[None]:
    """The lock of a checkpoint's folder, which the first process holds for all."""
    if processes.first:
        with store.locked(place, "training"):
            yield
    else:
        yield


def _left(place: Path, recipe: Recipe, overwrite: bool) -> Card | None:
    """The card of what is finished already, after removing what is to be replaced."""
    if overwrite and _blocked(place, recipe):
        shutil.rmtree(place)
    return _finished(place, recipe)


def _complete(
    place: Path,
    recipe: Recipe,
    material: Material,
    processes: Processes,
    threads: int | None,
    workers: int | None,
    progress: Progress,
) -> Card:
    """Train the epochs that are missing, and export."""
    recipe, device = settled(recipe, material.train), torch.device(processes.device)
    state = processes.first_finds(lambda: _state(place, recipe, material, threads))
    state = state.on(described(device), processes.count)
    refuse_too_few(material.train, recipe, method_of(recipe))
    processes.refuse_too_many(recipe)

    def keep(state: State) -> None:
        if processes.first:
            write_state(place, state)
            checkpoints.write_history(place, state.history)

    kernels = surroundings(device, state.threads, recipe.deterministic, recipe.precision == "tf32")
    with kernels, explained(recipe.batch_size):
        objective = _objective(recipe, material, device)
        readers = usual_workers(state.threads) if workers is None else workers
        data = training_set(material.train, device, recipe.augmentation, readers)
        probe = probe_of(objective.network, material.train, recipe, device)
        state = fit(
            objective, data, state,
            keep=keep, progress=progress, probe=probe, processes=processes,
        )  # fmt: skip
        network = objective.network
        return processes.first_finds(lambda: export(place, network, state, material, device))


def _objective(recipe: Recipe, material: Material, device: torch.device) -> Objective:
    """The freshly initialised network with the method's parts, on the device."""
    seed_layers(recipe.seed, "weights")
    network = build(material.spec(recipe), trust_code=True)  # or `train_on` had refused it
    objective = Objective(network, method_of(recipe), recipe).to(device)
    if recipe.channels_last:
        objective = objective.to(memory_format=torch.channels_last)
    if recipe.compile:
        for module in objective.modules():  # a method's parts may hold networks too
            if isinstance(module, Network):
                module.compile_activations()
    return objective


def _state(place: Path, recipe: Recipe, material: Material, threads: int | None) -> State:
    """The state to go on from; the thread count that training began with is kept."""
    state = read_state(place)
    if state is None:
        started = torch.get_num_threads() if threads is None else threads
        return State(recipe, material.train.fingerprint, started, devices=())
    if state.fingerprint != material.train.fingerprint:
        raise InputError(
            f"{place} was begun on other images of {recipe.dataset} than are there now; "
            "--overwrite starts anew"
        )
    return state


def _finished(place: Path, recipe: Recipe) -> Card | None:
    """The card of a finished checkpoint of this recipe, its weights verified; None if unfinished.

    Raises:
        InputError: the folder holds another recipe, or damaged weights.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {place}: {error.strerror}") from error
    for litter in place.glob(".*.part"):  # of a process that was killed while writing
        litter.unlink()
    if not (place / checkpoints.CARD).exists():
        state = read_state(place)
        if state is not None:
            _refuse_other(place, state.recipe, recipe)
        return None
    card = checkpoints.read_card(place)
    _refuse_other(place, card.recipe, recipe)
    checkpoints.verify(place, card)
    return card


def _blocked(place: Path, recipe: Recipe) -> bool:
    """Whether a folder is there that keeps this recipe from being trained in it."""
    if not place.is_dir():
        return False
    with contextlib.suppress(InputError):
        _finished(place, recipe)
        return False
    return True


def _refuse_other(place: Path, there: Recipe | None, recipe: Recipe) -> None:
    """Refuse to go on in the folder of another recipe."""
    if there is None:
        raise InputError(f"{place} holds no training of a classifier; choose another --name")
    pairs = differing(there, recipe)
    if pairs:
        said = "; ".join(
            f"{name} is {old!r} there, {new!r} here" for name, (old, new) in pairs.items()
        )
        raise InputError(
            f"{place} holds another recipe: {said}; take another --name or --overwrite"
        )
