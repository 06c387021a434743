"""Backbone and recipe → a detector's checkpoint, doing only what is missing of it."""

from __future__ import annotations

import contextlib
import datetime
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

import sdd_eval
from sdd_eval import records, store
from sdd_eval.detection.batches import epoch_batches
from sdd_eval.detection.coco import CocoSet, read_coco
from sdd_eval.detection.loop import fit
from sdd_eval.detection.model import detector_on, detector_spec
from sdd_eval.detection.recipe import DetectorRecipe, detector_name, settled
from sdd_eval.detection.state import DetectorState, read_state, write_state
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress, Silent
from sdd_eval.records import DETECTOR, Card, encode
from sdd_eval.training import checkpoints
from sdd_eval.training.state import FILE
from sdd_eval.training.streaming import usual_workers
from sdd_eval.training.surroundings import (
    described,
    explained,
    seed_layers,
    surroundings,
    usable,
)


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
    card = replace(checkpoints.read_card(backbone), name=backbone.resolve().name)
    checkpoints.require_trust(card, trust_code)
    recipe = settled(recipe, card)
    place = Path(folder) / store.plain_name("--name", name or detector_name(recipe))
    with store.locked(place, "training"):
        if overwrite and _blocked(place, recipe):
            shutil.rmtree(place)
        finished = _finished(place, recipe)
        if finished is None:
            data = read_coco(recipe.dataset, data_root, "train")
            start = Start(backbone, card, trust_code)
            state = _state(place, recipe, data, threads)
            state = replace(
                state,
                devices=tuple(dict.fromkeys((*state.devices, described(usable(device))))),
            )
            finished = _complete(
                place, start, data, state, usable(device), workers, progress or Silent()
            )
        (place / FILE).unlink(missing_ok=True)
        return finished


def _complete(
    place: Path,
    start: Start,
    data: CocoSet,
    state: DetectorState,
    device: torch.device,
    workers: int | None,
    progress: Progress,
) -> Card:
    """Train the epochs that are missing, and export."""

    def keep(state: DetectorState) -> None:
        write_state(place, state)
        checkpoints.write_history(place, state.history)

    recipe, channels = state.recipe, start.card.model.channels
    readers = usual_workers(state.threads) if workers is None else workers
    with surroundings(device, state.threads, False), explained(recipe.batch_size):
        detector, spec = _detector(start, recipe, data)
        detector.to(device)
        state = fit(
            detector,
            lambda epoch: epoch_batches(data, recipe, epoch, channels, device, readers),
            len(data),
            state,
            keep=keep,
            progress=progress,
        )
        card = Card(
            name=place.name,
            model=spec,
            recipe=None,
            metrics=_metrics(state),
            weights_sha256=checkpoints.write_weights(place, detector),
            provenance=_provenance(state, start.card, data),
        )
        checkpoints.write_history(place, state.history)
        store.write_record(place / checkpoints.CARD, card)
        return card


def _detector(
    start: Start, recipe: DetectorRecipe, data: CocoSet
) -> tuple[nn.Module, records.ModelSpec]:
    """The backbone's weights with everything else freshly initialised."""
    found = data.annotations
    names = dict(zip(found.category_ids, found.class_names, strict=True))
    spec = detector_spec(start.card.model, recipe, names)
    assert recipe.seed is not None
    network = checkpoints.load(start.folder, trust_code=start.trust_code)
    seed_layers(recipe.seed, "weights")
    return detector_on(network, spec), spec


def _state(
    place: Path, recipe: DetectorRecipe, data: CocoSet, threads: int | None
) -> DetectorState:
    """The state to go on from; the thread count that training began with is kept."""
    state = read_state(place)
    if state is None:
        started = torch.get_num_threads() if threads is None else threads
        return DetectorState(recipe, data.fingerprint, started, devices=())
    if state.fingerprint != data.fingerprint:
        raise InputError(
            f"{place} was begun on other images of {recipe.dataset} than are there now; "
            "--overwrite starts anew"
        )
    return state


def _finished(place: Path, recipe: DetectorRecipe) -> Card | None:
    """The card of a finished detector of this recipe, its weights verified; None if unfinished.

    Raises:
        InputError: the folder holds another recipe, a classifier, or damaged weights.
    """
    for litter in place.glob(".*.part"):  # of a process that was killed while writing
        litter.unlink()
    if not (place / checkpoints.CARD).exists():
        state = read_state(place)
        if state is not None:
            _refuse_other(place, state.recipe, recipe)
        return None
    card = checkpoints.read_card(place)
    if not card.model.arch.startswith(DETECTOR):
        raise InputError(f"{place} holds a classifier; choose another --name")
    _refuse_other(place, recipe_of(card), recipe)
    checkpoints.verify(place, card)
    return card


def recipe_of(card: Card) -> DetectorRecipe:
    """How a detector was trained."""
    return records.decode(DetectorRecipe, card.provenance.get("detector"), card.name)


def _blocked(place: Path, recipe: DetectorRecipe) -> bool:
    """Whether a folder is there that keeps this recipe from being trained in it."""
    if not place.is_dir():
        return False
    with contextlib.suppress(InputError):
        _finished(place, recipe)
        return False
    return True


def _refuse_other(place: Path, there: DetectorRecipe, recipe: DetectorRecipe) -> None:
    """Refuse to go on in the folder of another recipe."""
    theirs, ours = encode(there), encode(recipe)
    said = [
        f"{name} is {theirs[name]!r} there, {ours[name]!r} here"
        for name in ours
        if theirs[name] != ours[name]
    ]
    if said:
        raise InputError(
            f"{place} holds another recipe: {'; '.join(said)}; take another --name or --overwrite"
        )


def _metrics(state: DetectorState) -> dict[str, float]:
    """The last epoch's mean losses."""
    other = ("epoch", "lr", "seconds", "images_per_second")
    return {name: value for name, value in state.history[-1].items() if name not in other}


def _provenance(state: DetectorState, backbone: Card, data: CocoSet) -> Mapping[str, Any]:
    """By what, on what, from what and how fast the weights were made."""
    images = state.epoch * len(data)
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sdd_eval": sdd_eval.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "machine": platform.machine(),
        "devices": list(state.devices),
        "threads": state.threads,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(images / state.seconds, 1),
        "dataset": state.recipe.dataset,
        "data_origin": data.origin,
        "data_fingerprint": state.fingerprint,
        "training_images": len(data),
        "detector": encode(state.recipe),
        "backbone": {
            "name": backbone.name,
            "weights_sha256": backbone.weights_sha256,
            "recipe": encode(backbone.recipe),
        },
    }
