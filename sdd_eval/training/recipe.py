"""Validation, default names and comparison of recipes."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from typing import Any, Final, Literal

from sdd_eval import plugins, records
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import Recipe
from sdd_eval.training.combinations import check_combinations
from sdd_eval.training.methods.method import BaseMethod
from sdd_eval.training_options import TrainingOptions
from sdd_eval.validation import bounds_of, check_bounds, check_milestones, parse_json

#: A setting that depends on the data set.
AUTO: Final = "auto"

#: Fields that appear in default names if their values are unusual: they change the method.
NAME_FIELDS = (
    *("drop_rate", "temperature", "direction", "position", "hidden_layers"),
    *("init", "images_per_class", "validation"),
    *(f.name for f in dataclasses.fields(TrainingOptions) if f.name != "start_sha256"),
)

#: Data sets of the paper, for which "auto" means the authors' initial weights.
PAPER_SETS = (
    *("cifar10", "cifar100", "imagenet"),
    *("cub200", "cub200_cropped", "stanford_dogs", "stanford_dogs_whole"),
)


def validated(recipe: Recipe) -> Recipe:
    """Return a valid recipe, with the method's name in underscores and all its options.

    Raise InputError if a value is invalid, or the method or one of its options is unknown.
    """
    check_bounds(recipe, bounds_of(Recipe))
    check_milestones(recipe.milestones, recipe.epochs)
    for field, hint in typing.get_type_hints(Recipe).items():
        choices = typing.get_args(hint)
        if typing.get_origin(hint) is Literal and getattr(recipe, field) not in choices:
            raise unknown_name(field, str(getattr(recipe, field)), choices)
    recipe = dataclasses.replace(
        recipe, method=recipe.method.replace("-", "_"), init=initialisation(recipe)
    )
    if recipe.method not in plugins.names("methods"):
        raise unknown_name("method", recipe.method, plugins.names("methods"))
    method = method_of(recipe)
    check_combinations(recipe, method)
    if method.views > 1 and recipe.augmentation == "none":
        raise InputError(
            f"method {recipe.method} compares {method.views} augmented views of each image, but "
            "augmentation is 'none', which leaves them equal; choose crop or crop_flip"
        )
    return dataclasses.replace(recipe, method_options=settings_of(method))


def initialisation(recipe: Recipe) -> Literal["authors", "torch"]:
    """Return a recipe's kind of initial weights: its own, or what "auto" means for its data."""
    if recipe.init != AUTO:
        return recipe.init
    return "authors" if recipe.dataset in PAPER_SETS else "torch"


def method_of(recipe: Recipe) -> BaseMethod:
    """Return the recipe's method with its options; raise InputError for an invalid one."""
    kind = plugins.load("methods", recipe.method)
    fields = [field.name for field in dataclasses.fields(kind)]
    for name in recipe.method_options:
        if name not in fields:
            raise unknown_name(f"option of method {recipe.method!r}", name, fields)
    settings = {name: parse_json(value) for name, value in recipe.method_options.items()}
    where = f"method {recipe.method}: "
    method: BaseMethod = records.decode(kind, settings, where.removesuffix(": "))
    check_bounds(method, bounds_of(kind), where)
    return method


def settings_of(method: BaseMethod) -> dict[str, Any]:
    """Return all settings of a method by name, including defaults."""
    return {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}  # type: ignore[arg-type]


def checkpoint_name(recipe: Recipe) -> str:
    """Return `DATASET-ARCH-METHOD[-sddλ][-WORDS]-seedN`; the words name unusual settings.

    Epochs, batch size, learning rate, momentum, weight decay, milestones, the preparation of images
    and settings that only affect the computation have no word: name such runs yourself. Raise
    InputError if the method or one of its settings is unknown.

    >>> checkpoint_name(Recipe(sd_dropout=0.1, seed=2))
    'cifar100-resnet18-ce-sdd0.1-seed2'
    >>> checkpoint_name(Recipe(sd_dropout=1.0, drop_rate=0.3))
    'cifar100-resnet18-ce-sdd1-drop0.3-seed0'
    >>> checkpoint_name(Recipe(method="ls", method_options={"smoothing": 0.2}, validation=5000))
    'cifar100-resnet18-ls-validation5000-smoothing0.2-seed0'
    """
    term = f"-sdd{recipe.sd_dropout:g}" if recipe.sd_dropout else ""
    recipe = dataclasses.replace(recipe, method=recipe.method.replace("-", "_"))
    # Renamed fields keep their former names here, so that earlier names mean the same recipe.
    former = {new: old for old, new in records.former_names(Recipe).items()}
    unusual = {former.get(name, name): value for name, value in _unusual(recipe).items()}
    words = "".join(
        f"-{name.replace('_', '')}{'' if value is True else value}"
        for name, value in unusual.items()
    )
    name = f"{recipe.dataset}-{recipe.arch}-{recipe.method}{term}{words}-seed{recipe.seed}"
    return re.sub(r"[^\w.+-]+", "_", name)


def _unusual(recipe: Recipe) -> dict[str, Any]:
    method = method_of(recipe)
    default = Recipe(dataset=recipe.dataset)
    values, defaults = (
        {name: getattr(one, name) for name in NAME_FIELDS} | {"init": initialisation(one)} | options
        for one, options in ((recipe, settings_of(method)), (default, settings_of(type(method)())))
    )
    return {name: value for name, value in values.items() if value != defaults[name]}


def differences(one: Any, other: Any) -> Mapping[str, tuple[Any, Any]]:
    """Return the fields in which a recipe differs from another, with both values.

    In the other one, "auto" matches any value, and so does a SHA-256 that is not known yet.
    """
    known = {n: v for n, v in vars(other).items() if v or not n.endswith("_sha256")}
    pairs = {name: (getattr(one, name), value) for name, value in known.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] != AUTO}
