"""Checks of what a study names, before anything runs: networks, data sets, checkpoints."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import checkpoints, models
from sdd_eval.data import catalogue
from sdd_eval.data.ood_sets import default_ood_sets, expand_groups
from sdd_eval.data.readers.cifar_c import present_corruptions
from sdd_eval.data.splits import validation_name
from sdd_eval.data.standardisation import standardisation_set
from sdd_eval.errors import InputError, NotOnDisk, unknown_name
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.evaluators.settings import settings_that_load
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.store import folder_name


@dataclass(frozen=True)
class Lookup:
    """Where the names in a study are looked up, and whether code named in it may run."""

    data_root: Path
    checkpoints: Path
    trust_code: bool = False


def check_recipe(recipe: Recipe | DetectorRecipe, lookup: Lookup) -> None:
    """Raise InputError if a recipe names an unknown data set, network, or position of the masks."""
    catalogue.dataset(recipe.dataset, lookup.data_root, recipe.task)
    if isinstance(recipe, Recipe):
        standardisation_set(recipe.standardisation, lookup.data_root)
        if recipe.start_from:
            name = folder_name("start_from", recipe.start_from)
            checkpoints.find_folder(name, lookup.checkpoints)
        _check_network(recipe.arch, recipe.position, lookup.trust_code)


@functools.cache
def _check_network(arch: str, position: str, trust_code: bool) -> None:
    """Raise InputError if the network, built on torch's meta device, lacks the position."""
    models.check_arch(arch, trust_code=trust_code)
    if position == Recipe.position or ":" in arch:
        return
    import torch

    with torch.device("meta"):
        models.build(ModelSpec(arch, 10, (0.5,) * 3, (0.5,) * 3, 32)).stage_of(position)


def check_evaluation(
    evaluator: Any, dataset: str | None, recipe: Recipe | DetectorRecipe, lookup: Lookup
) -> None:
    """Raise InputError if an evaluator of a network to be trained needs data that do not exist.

    A data set that is known but not on disk is accepted: it may be downloaded before it is needed.
    """
    root, names = lookup.data_root, getattr(evaluator, "corruptions", ())
    if isinstance(recipe, Recipe) and dataset is not None and not recipe.validation:
        _refuse_validation(dataset, recipe.dataset, root)
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        if kind == "training" and value:
            catalogue.dataset(value, root)
        if kind == "validation" and value not in ("", "none"):
            flag = setting.replace("_", "-")
            raise InputError(f"--{flag} is {value!r}; leave it out, or set it to none")
    with contextlib.suppress(NotOnDisk):
        for name in required_sets(evaluator, dataset, recipe.dataset, root):
            resolved = catalogue.dataset(name, root, task_of(evaluator))
            names = [n for n in names if n not in _corruptions_of(resolved)]
    unknown = [name for name in names if name not in NINETEEN]
    if unknown:
        raise unknown_name("corruption", unknown[0], NINETEEN)


def _refuse_validation(dataset: str, trained_on: str, root: Path) -> None:
    """Raise InputError for validation images of networks that are trained without any."""
    name = catalogue.canonical_name(validation_name(trained_on))
    if catalogue.canonical_name(dataset) == name and dataset not in catalogue.folder_names(root):
        raise InputError(f"{dataset} needs networks trained with `validation` images")


def _corruptions_of(resolved: catalogue.Dataset) -> tuple[str, ...]:
    if not hasattr(resolved.plugin, "load_corrupted"):
        return ()
    return present_corruptions(resolved.root / resolved.plugin.folder)


def absent_sets(
    evaluator: Any, dataset: str | None, recipe: Recipe | DetectorRecipe, root: Path
) -> list[str]:
    """Return the absent data sets that an evaluation loads, without the training set.

    A set is absent if it is not on disk, or no set with its name is known.
    """
    absent = []
    for name in required_sets(evaluator, dataset, recipe.dataset, root):
        if name != recipe.dataset:
            try:
                present = catalogue.dataset(name, root, task_of(evaluator)).present
            except InputError:
                present = False
            absent += [] if present else [name]
    return absent


def required_sets(
    evaluator: Any, dataset: str | None, trained_on: str, root: Path
) -> Iterator[str]:
    """Yield the data sets that an evaluation of a network trained on `trained_on` loads.

    Corruptions that would be rendered if not on disk are left out.
    """
    test = catalogue.canonical_name(dataset or trained_on)
    on_validation = test == catalogue.canonical_name(validation_name(trained_on))
    yield trained_on if on_validation else dataset or trained_on
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        if kind == "images":
            yield from expand_groups(value, trained_on) or default_ood_sets(test)
        if kind == "corruptions":
            corrupted = catalogue.corrupted_set(value, test, root)
            if corrupted is not None:
                yield corrupted.reference
