"""Kinds of networks: recipes that differ only in hyper-parameters and seeds, to choose between.

A recipe is a mapping from fields to values: a classifier's, or a detector's with its backbone's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sdd_eval.records import encode

Fields = Mapping[str, Any]

_OF_TRAINING = ("epochs", "batch_size", "lr", "momentum", "weight_decay", "milestones")
#: Fields of a recipe that somebody chooses by what comes out.
HYPER_PARAMETERS = (
    *("sd_dropout", "drop_rate", "temperature", "direction", "position", *_OF_TRAINING),
    *("method_options", "min_size", "max_size", "trainable_layers", "channels", "regions"),
    *(f"backbone_{name}" for name in _OF_TRAINING),
)
#: Of those the ones that mean nothing without the SD-Dropout term.
_OF_THE_TERM = ("drop_rate", "temperature", "direction", "position")


def varied(recipes: Iterable[Fields]) -> tuple[str, ...]:
    """The hyper-parameters of which one kind of network is trained with several values.

    >>> ce = {"method": "ce", "sd_dropout": 0.0}
    >>> varied([ce, {**ce, "sd_dropout": 0.1}, {**ce, "sd_dropout": 1.0}, {**ce, "method": "ls"}])
    ('sd_dropout',)
    """
    kinds: dict[str, list[Fields]] = {}
    for recipe in recipes:
        kinds.setdefault(key_of_kind(recipe), []).append(recipe)
    return tuple(
        name
        for name in HYPER_PARAMETERS
        if any(len({_json(value_of(each, name)) for each in alike}) > 1 for alike in kinds.values())
    )


def key_of_kind(recipe: Fields) -> str:
    """What a recipe shares with all others of its kind: whether it has the term, and what is no
    hyper-parameter, a method's variants among them.
    """
    fixed = {n: v for n, v in recipe.items() if n not in (*HYPER_PARAMETERS, "seed")}
    return _json({**fixed, "variants": _variants(recipe), "term": bool(recipe.get("sd_dropout"))})


def value_of(recipe: Fields, name: str) -> Any:
    """The value of a hyper-parameter, of a method's options the numbers; None where it has none."""
    if name in _OF_THE_TERM and not recipe.get("sd_dropout"):
        return None
    value = recipe.get(name)
    if isinstance(value, Mapping):
        return {option: each for option, each in value.items() if _is_number(each)}
    return value


def told_kind(recipe: Fields) -> str:
    """A kind in words; of a detector on somebody else's backbone, which that is.

    >>> ce = {"method": "ce", "arch": "resnet18", "dataset": "cifar100"}
    >>> told_kind({**ce, "sd_dropout": 0.1, "hidden_layers": 1})
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
    """A method's options that are no numbers."""
    return {n: v for n, v in recipe.get("method_options", {}).items() if not _is_number(v)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> str:
    return json.dumps(encode(value), sort_keys=True)
