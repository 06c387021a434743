"""Combinations of settings that are rejected before training, with the reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.training.methods.method import BaseMethod


def check_combinations(recipe: Recipe, method: BaseMethod) -> None:
    """Raise InputError if settings of a recipe contradict each other, or one has no effect."""
    of_recipe = (_schedule, _optimiser, _validation, _augmentation)
    for problem in itertools.chain(
        *(check(recipe) for check in of_recipe), _mixing(recipe, method)
    ):
        raise InputError(problem)


def _schedule(recipe: Recipe) -> Iterator[str]:
    default = Recipe()
    for name in ("milestones", "lr_divisor"):
        if recipe.schedule != "steps" and getattr(recipe, name) != getattr(default, name):
            yield f"schedule {recipe.schedule} has no {name}; use schedule steps"
    if recipe.schedule == "one_cycle" and recipe.warmup_epochs:
        yield "schedule one_cycle has a warm-up of its own; leave out warmup_epochs"
    if recipe.warmup_epochs >= recipe.epochs:
        yield f"warmup_epochs is {recipe.warmup_epochs}; it must be below epochs, {recipe.epochs}"


def _optimiser(recipe: Recipe) -> Iterator[str]:
    if recipe.nesterov and recipe.optimiser != "sgd":
        yield f"nesterov is for optimiser sgd, not {recipe.optimiser}"
    if recipe.nesterov and not recipe.momentum:
        yield "nesterov needs a momentum above 0"


def _validation(recipe: Recipe) -> Iterator[str]:
    if recipe.validate_every and not recipe.validation:
        yield "validate_every needs held-out training images: set validation, e.g. to 5000"
    if recipe.keep == "best" and not recipe.validate_every:
        yield "keep best chooses the epoch by held-out images: set validation and validate_every"


def _augmentation(recipe: Recipe) -> Iterator[str]:
    for name in ("augment_operations", "augment_magnitude"):
        if recipe.auto_augment != "rand_augment" and getattr(recipe, name) != getattr(Recipe, name):
            yield f"{name} is for auto_augment rand_augment, not {recipe.auto_augment}"


def _mixing(recipe: Recipe, method: BaseMethod) -> Iterator[str]:
    mixing = " and ".join(name for name in ("mixup", "cutmix") if getattr(recipe, name))
    if not mixing or getattr(method, "mixes", False):
        return
    if method.partners:
        reason = "pairs each image with another of its class, and a mixed image has two classes"
    elif method.views > 1:
        reason = f"compares {method.views} views of each image, which would be mixed differently"
    else:
        reason = "learns class indices"
    names = (name for name in plugins.names("methods") if _mixes(name))
    yield f"{mixing}: method {recipe.method} {reason}; choose one of {', '.join(names)}"


def _mixes(method: str) -> bool:
    try:
        return bool(getattr(plugins.load("methods", method), "mixes", False))
    except InputError:  # a plugin that cannot be imported
        return False
