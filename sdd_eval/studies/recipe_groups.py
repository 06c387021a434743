"""Groups of recipes that differ only in hyper-parameters and seeds, for model selection.

A recipe is a mapping from fields to values: a classifier's, or a detector's with its backbone's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sdd_eval.records import encode

Fields = Mapping[str, Any]

_OPTIMISATION = ("epochs", "batch_size", "lr", "momentum", "weight_decay", "milestones")
#: Fields of a recipe that are tuned.
HYPER_PARAMETERS = (
    *("sd_dropout", "drop_rate", "temperature", "direction", "position", *_OPTIMISATION),
    *("method_options", "min_size", "max_size", "trainable_layers", "channels", "regions"),
    *(f"backbone_{name}" for name in _OPTIMISATION),
)
#: Those without effect if the weight of the SD-Dropout term is 0.
_OF_THE_TERM = ("drop_rate", "temperature", "direction", "position")


def varied(recipes: Iterable[Fields]) -> tuple[str, ...]:
    """Return the hyper-parameters that have several values within a group.

    >>> ce = {"method": "ce", "sd_dropout": 0.0}
    >>> varied([ce, {**ce, "sd_dropout": 0.1}, {**ce, "sd_dropout": 1.0}, {**ce, "method": "ls"}])
    ('sd_dropout',)
    """
    groups: dict[str, list[Fields]] = {}
    for recipe in recipes:
        groups.setdefault(group_key(recipe), []).append(recipe)
    return tuple(
        name
        for name in HYPER_PARAMETERS
        if any(len({_json(value_of(recipe, name)) for recipe in g}) > 1 for g in groups.values())
    )


def group_key(recipe: Fields) -> str:
    """Return what the recipes of a group share: all fields but hyper-parameters and seed.

    A method's options that are not numbers count, and whether there is an SD-Dropout term.
    """
    fixed = {n: v for n, v in recipe.items() if n not in (*HYPER_PARAMETERS, "seed")}
    return _json({**fixed, "variants": _variants(recipe), "term": bool(recipe.get("sd_dropout"))})


def value_of(recipe: Fields, name: str) -> Any:
    """Return the value of a hyper-parameter, of method options the numbers; None without effect."""
    if name in _OF_THE_TERM and not recipe.get("sd_dropout"):
        return None
    value = recipe.get(name)
    if isinstance(value, Mapping):
        return {option: number for option, number in value.items() if _is_number(number)}
    return value


def group_title(recipe: Fields) -> str:
    """Return a group in words; of a detector on a foreign backbone that backbone.

    >>> ce = {"method": "ce", "arch": "resnet18", "dataset": "cifar100"}
    >>> group_title({**ce, "sd_dropout": 0.1, "hidden_layers": 1})
    'ce with SD-Dropout of resnet18 with 1 hidden layer on cifar100'
    """
    if "backbone" in recipe:
        return f"{recipe['arch']}{recipe['backbone']} on {recipe['dataset']}"
    term = " with SD-Dropout" if recipe.get("sd_dropout") else ""
    method = " ".join([recipe["method"], *map(str, _variants(recipe).values())])
    hidden = recipe.get("hidden_layers", 0)
    layers = f" with {hidden} hidden layer{'s' if hidden > 1 else ''}" if hidden else ""
    return f"{method}{term} of {recipe['arch']}{layers} on {recipe['dataset']}"


def _variants(recipe: Fields) -> Fields:
    return {n: v for n, v in recipe.get("method_options", {}).items() if not _is_number(v)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> str:
    return json.dumps(encode(value), sort_keys=True)
