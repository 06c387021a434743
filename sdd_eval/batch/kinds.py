"""Kinds of networks: recipes that differ only in hyper-parameters and seeds, to choose between."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sdd_eval.records import Recipe, encode

#: Fields of a recipe that somebody chooses by what comes out.
HYPER_PARAMETERS = (
    *("sd_dropout", "drop", "temperature", "direction", "position", "epochs", "batch_size", "lr"),
    *("momentum", "weight_decay", "milestones", "method_options"),
)
#: Of those the ones that mean nothing without the SD-Dropout term.
_OF_THE_TERM = ("drop", "temperature", "direction", "position")


def varied(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """The hyper-parameters of which one kind of network is trained with several values.

    >>> varied([Recipe(), Recipe(sd_dropout=0.1), Recipe(sd_dropout=1.0), Recipe(method="ls")])
    ('sd_dropout',)
    """
    kinds: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        kinds.setdefault(key_of_kind(recipe), []).append(recipe)
    return tuple(
        name
        for name in HYPER_PARAMETERS
        if any(len({_json(value_of(each, name)) for each in alike}) > 1 for alike in kinds.values())
    )


def key_of_kind(recipe: Recipe) -> str:
    """What a recipe shares with all others of its kind: whether it has the term, and what is no
    hyper-parameter, a method's variants among them.
    """
    fields = [field.name for field in dataclasses.fields(Recipe)]
    fixed = {n: getattr(recipe, n) for n in fields if n not in (*HYPER_PARAMETERS, "seed")}
    variants = {n: v for n, v in recipe.method_options.items() if not _is_number(v)}
    return _json({**fixed, "variants": variants, "term": bool(recipe.sd_dropout)})


def value_of(recipe: Recipe, name: str) -> Any:
    """The value of a hyper-parameter, of a method's options the numbers; None where it has none."""
    if name in _OF_THE_TERM and not recipe.sd_dropout:
        return None
    value = getattr(recipe, name)
    if isinstance(value, Mapping):
        return {option: each for option, each in value.items() if _is_number(each)}
    return value


def told_kind(recipe: Recipe) -> str:
    """A kind in words.

    >>> told_kind(Recipe(sd_dropout=0.1, hidden_layers=1))
    'ce with SD-Dropout of resnet18 with 1 hidden layer on cifar100'
    """
    term = " with SD-Dropout" if recipe.sd_dropout else ""
    variants = [str(v) for v in recipe.method_options.values() if not _is_number(v)]
    method = " ".join([recipe.method, *variants])
    hidden = recipe.hidden_layers
    layers = f" with {hidden} hidden layer{'s' if hidden > 1 else ''}" if hidden else ""
    return f"{method}{term} of {recipe.arch}{layers} on {recipe.dataset}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> str:
    return json.dumps(encode(value), sort_keys=True)
