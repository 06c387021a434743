"""Recipes from tables with lists in them: every combination of the lists, seeds outermost."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sdd_eval import plugins
from sdd_eval.errors import unknown_name
from sdd_eval.records import ModelSpec, Recipe, decode, former_names, with_present_names
from sdd_eval.studies.toml import Node, line_of
from sdd_eval.training.recipe import NAME_FIELDS, method_of, validated
from sdd_eval.training.recipe import checkpoint_name as plain_name

#: What a table of trainings may say: the fields of a recipe, but the seed in the plural.
FIELDS = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "seed")
#: Fields that are lists themselves: of them a list of lists is a grid.
LISTS = ("milestones", "probe_epochs")
#: Fields that a checkpoint's plain name tells; the rest of what is unusual becomes a key.
_NAMED = ("dataset", "arch", "method", "method_options", "sd_dropout", *NAME_FIELDS)


def with_present_keys(node: Node) -> Node:
    """Return a table of recipe fields with renamed keys under their present names.

    Warns:
        DeprecationWarning: the table uses the former name of a field; with the line.
    """
    present = former_names(Recipe)
    former = [name for name in node.data if name in present]
    for name in former:
        message = node.wrong(f"{name} is now called {present[name]}; rename it", name)
        warnings.warn(str(message), DeprecationWarning, stacklevel=2)
    lines = {(*node.way, present[n]): line_of((*node.way, n), node.lines) for n in former}
    data = with_present_names(Recipe, node.data)
    return replace(node, data=data, lines={**node.lines, **lines})


def combinations(
    node: Node, shared: Mapping[str, Any], kind: type[Any] = Recipe
) -> Iterator[dict[str, Any]]:
    """The fields of every recipe of a kind that a table of trainings means, without seeds.

    Raises:
        InputError: a field is unknown, or a value not one of its kind; with the line.
    """
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "seed"]
    own = {name: value for name, value in node.data.items() if name in fields}
    options = own.pop("method_options", {})
    with node.at("method_options"):
        options = decode(_Options, {"values": options}).values
    values = {name: _choices(name, value) for name, value in own.items()}
    grid = {name: _choices(name, value) for name, value in options.items()}
    for name, choices in values.items():
        for value in choices:
            with node.at(name):
                decode(kind, {name: value})
    for chosen in _product(values):
        for option in _product(grid):
            merged = {**shared, **chosen}
            if option:
                merged["method_options"] = {**merged.get("method_options", {}), **option}
            yield merged


def recipe_of(node: Node, fields: Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of a combination, checked.

    Raises:
        InputError: a value is impossible, or the method does not have such a setting.
    """
    with node.at(*_blamed(node, fields)):
        recipe = validated(decode(Recipe, {**fields, "seed": seed}))
        method_of(recipe)
    with node.at(*(["arch"] if "arch" in node else [])):
        _refuse_arch(recipe.arch)
    return recipe


def refuse_position(node: Node, recipe: Recipe) -> None:
    """Refuse a place for SD-Dropout's masks that the recipe's network does not have.

    Raises:
        InputError: with the line, and the place that may have been meant.
    """
    with node.at(*(["position"] if "position" in node else [])):
        _refuse_position(recipe.arch, recipe.position)


def _refuse_arch(arch: str) -> None:
    """Refuse an unknown network now, and not after days of the trainings before it."""
    if ":" not in arch and arch not in plugins.names("models"):
        raise unknown_name("arch", arch, plugins.names("models"))


@functools.cache
def _refuse_position(arch: str, position: str) -> None:
    """Build the network, which takes torch, to see whether it has the place for the masks."""
    if position == Recipe.position or ":" in arch:
        return
    import torch

    from sdd_eval.models.build import build

    with torch.device("meta"):
        build(ModelSpec(arch, 10, (0.5,) * 3, (0.5,) * 3, 32)).stage_of(position)


def checkpoint_name(recipe: Recipe) -> str:
    """A name that no other recipe has: what is special in words, all other settings as a key.

    >>> checkpoint_name(Recipe(sd_dropout=1.0, drop_rate=0.3, seed=2))
    'cifar100-resnet18-ce-sdd1-drop0.3-seed2'
    """
    from sdd_eval.store import key_of

    usual = Recipe()
    others = [name for name in FIELDS if name not in _NAMED]
    pairs = {name: getattr(recipe, name) for name in others}
    pairs = {name: value for name, value in pairs.items() if value != getattr(usual, name)}
    begin, seed = plain_name(recipe).rsplit("-", 1)
    return "-".join([begin, *([key_of(pairs)[:6]] if pairs else []), seed])


def _choices(name: str, value: Any) -> list[Any]:
    """The values that a field is to have."""
    if name in LISTS:
        several = isinstance(value, list) and value and isinstance(value[0], list)
        return list(value) if several else [value]
    return list(value) if isinstance(value, list) else [value]


def _product(values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for each in itertools.product(*values.values()):
        yield dict(zip(values, each, strict=True))


def _blamed(node: Node, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The key to point at where a whole recipe is wrong: the options, else the table."""
    return ("method_options",) if "method_options" in node and "method_options" in fields else ()


@dataclasses.dataclass(frozen=True)
class _Options:
    values: Mapping[str, Any]
