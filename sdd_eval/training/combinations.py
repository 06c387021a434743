"""Combinations of settings that are refused before training, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

from sdd_eval.errors import InputError
from sdd_eval.records import Recipe


def check_combinations(recipe: Recipe) -> None:
    """Raise InputError if settings of a recipe contradict each other, or one has no effect."""
    for problem in (*_schedule(recipe), *_optimiser(recipe), *_validation(recipe)):
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
