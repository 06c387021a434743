"""Which checkpoints are seeds of the same thing, and what to call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sdd_eval.records import Recipe, encode
from sdd_eval.report.runs import Found

#: Methods as papers write them.
METHODS = {
    "ce": "CE",
    "ls": "LS",
    "cs_kd": "CS-KD",
    "ddgsd": "DDGSD",
    "byot": "BYOT",
    "dml": "DML",
    "dropout": "Dropout",
    "r_drop": "R-Drop",
    "confidence_penalty": "Confidence penalty",
}

#: Fields of a recipe that only say how SD-Dropout is done.
SD_DROPOUT = ("drop_rate", "temperature", "direction", "position")

#: Fields that have a column of their own, or that do not make two checkpoints different in kind.
_KNOWN = ("method", "sd_dropout", "dataset", "arch", "seed")
_DEFAULTS: Mapping[str, Any] = encode(Recipe())


def recipe_of(found: Found) -> Mapping[str, Any] | None:
    """The recipe of the run's checkpoint; None for an imported network.

    Fields that a recipe did not have when the run was written have their defaults.
    """
    recipe = found.run.provenance.get("card")
    return {**_DEFAULTS, **recipe} if isinstance(recipe, Mapping) else None


def arch_of(found: Found) -> str | None:
    """The architecture, from the recipe or from the network's own description."""
    model = found.run.provenance.get("model")
    for source in (recipe_of(found), model):
        if isinstance(source, Mapping) and source.get("arch") is not None:
            return str(source["arch"])
    return None


def test_set_of(found: Found) -> str:
    """The clean test set: the first data set that the run names, whatever was made of it."""
    data = found.run.provenance.get("data")
    names = list(data) if isinstance(data, Mapping) else []
    return str(names[0]) if names else found.run.dataset


def group_labels(runs: Sequence[Found]) -> dict[str, tuple[str, str]]:
    """For each run's name, its group's label and the part of it that is not the method.

    The label is the method with its weight of SD-Dropout; settings follow in brackets only where
    the checkpoints that it stands beside differ in them. An imported network is its own group.
    """
    beside: dict[Any, list[Found]] = {}
    for found in runs:
        beside.setdefault((found.study, arch_of(found)), []).append(found)
    labels: dict[str, tuple[str, str]] = {}
    for alike in beside.values():
        kinds = {found.name: _but_seed(recipe_of(found)) for found in alike}
        recipes = {kind: json.loads(kind) for kind in dict.fromkeys(kinds.values()) if kind}
        known = {kind: _label(recipe, list(recipes.values())) for kind, recipe in recipes.items()}
        for found in alike:
            labels[found.name] = known.get(kinds[found.name], (found.run.checkpoint, ""))
    return labels


def _but_seed(recipe: Mapping[str, Any] | None) -> str:
    """What seeds of one recipe share, as JSON; empty for an imported network."""
    if recipe is None:
        return ""
    return json.dumps({name: value for name, value in recipe.items() if name != "seed"})


def _label(recipe: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The label of a recipe, and its setting: the differing fields that are not SD-Dropout's."""
    shared = [each for each in beside if each.get("dataset") == recipe.get("dataset")]
    if len({each.get("dataset") for each in beside}) > 1:
        trained_on = [f"trained on {recipe.get('dataset')}"]
    else:
        trained_on = []
    general = [name for name in recipe if name not in (*_KNOWN, *SD_DROPOUT, "method_options")]
    setting = [*trained_on, *_differing(recipe, shared, general)]
    same_method = [each for each in shared if each.get("method") == recipe.get("method")]
    details = _differing(recipe, same_method, ["method_options"])
    if _weight(recipe):
        with_it = [each for each in same_method if _weight(each) == _weight(recipe)]
        details += _differing(recipe, with_it, SD_DROPOUT)
    label = method_label(recipe.get("method"), _weight(recipe))
    bracket = ", ".join([*setting, *details])
    return (f"{label} ({bracket})" if bracket else label), ", ".join(setting)


def method_label(method: Any, weight: float) -> str:
    """A method as a reader knows it, e.g. "CE + SD-Dropout λ 0.1"."""
    name = METHODS.get(str(method), str(method))
    return f"{name} + SD-Dropout λ {weight:g}" if weight else name


def _weight(recipe: Mapping[str, Any]) -> float:
    """The weight of SD-Dropout; 0 is without it."""
    value = recipe.get("sd_dropout")
    return float(value) if isinstance(value, int | float) else 0.0


def _differing(
    recipe: Mapping[str, Any], beside: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[str]:
    """The fields in which the recipes differ, with this recipe's values."""
    found = []
    for name in names:
        if len({json.dumps(each.get(name), sort_keys=True) for each in beside}) > 1:
            found.append(f"{name.replace('_', ' ')} {_shown(recipe.get(name))}")
    return found


def _shown(value: Any) -> str:
    """A setting's value in few words."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items()) or "default"
    if isinstance(value, list | tuple):
        return "/".join(str(each) for each in value)
    return "default" if value is None else str(value)
