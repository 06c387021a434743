"""Group checkpoints that differ only in their seed, and label the groups."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sdd_eval.metrics.names import NAMES
from sdd_eval.records import Recipe, encode
from sdd_eval.report.runs import StudyRun
from sdd_eval.training_options import TrainingOptions

#: Fields of a recipe that only configure SD-Dropout.
SD_DROPOUT = ("drop_rate", "temperature", "direction", "position")

#: Fields that have their own column or do not distinguish groups.
_KNOWN = ("method", "sd_dropout", "dataset", "arch", "seed")
_DEFAULTS: Mapping[str, Any] = encode(Recipe())
_OPTIONS: Mapping[str, Any] = encode(TrainingOptions())


def recipe_of(entry: StudyRun) -> Mapping[str, Any] | None:
    """Return a run's checkpoint recipe, with defaults for new fields; None if imported."""
    recipe = entry.run.provenance.recipe
    return None if recipe is None else {**_DEFAULTS, **recipe}


def used_recipe(entry: StudyRun) -> dict[str, Any]:
    """Return `recipe_of` without options that have no effect; empty if imported."""
    recipe = recipe_of(entry) or {}
    return {n: v for n, v in recipe.items() if n not in _OPTIONS or v != _OPTIONS[n]}


def arch_of(entry: StudyRun) -> str | None:
    """Return the architecture from the recipe or the network's description."""
    for source in (recipe_of(entry), entry.run.provenance.model):
        if source and source.get("arch") is not None:
            return str(source["arch"])
    return None


def test_set_of(entry: StudyRun) -> str:
    """Return the clean test set: the first data set that the run names."""
    return next(iter(entry.run.provenance.data), entry.run.dataset)


def group_labels(runs: Sequence[StudyRun]) -> dict[str, tuple[str, str]]:
    """Return, by run name, the label of its group, and the part of it that is not the method.

    The label is that in the study's file, or the method with its SD-Dropout weight; non-default
    settings follow in brackets if checkpoints of the same study and architecture differ in them. An
    imported network forms its own group.
    """
    comparable: dict[Any, list[StudyRun]] = {}
    for entry in runs:
        comparable.setdefault((entry.study, arch_of(entry)), []).append(entry)
    labels: dict[str, tuple[str, str]] = {}
    for entries in comparable.values():
        keys = {entry.name: _key_without_seed(recipe_of(entry)) for entry in entries}
        recipes = {key: json.loads(key) for key in dict.fromkeys(keys.values()) if key}
        known = {key: _label(recipe, list(recipes.values())) for key, recipe in recipes.items()}
        given = {keys[entry.name]: entry.label for entry in entries if entry.label}
        repeated = [label for label, count in Counter(given.values()).items() if count > 1]
        for entry in entries:
            label, setting = known.get(keys[entry.name], (entry.run.checkpoint, ""))
            own = given.get(keys[entry.name], "") if keys[entry.name] else entry.label
            label = f"{own} ({label})" if own in repeated else own or label
            labels[entry.name] = (label, setting)
    return labels


def checkpoint_labels(runs: Sequence[StudyRun]) -> dict[str, str]:
    """Return the group label of each checkpoint."""
    labels = group_labels(runs)
    return {entry.run.checkpoint: labels[entry.name][0] for entry in runs}


def _key_without_seed(recipe: Mapping[str, Any] | None) -> str:
    """Return a recipe without its seed as JSON; empty for an imported network."""
    if recipe is None:
        return ""
    return json.dumps({name: value for name, value in recipe.items() if name != "seed"})


def _label(recipe: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the label of a recipe, and the settings in it that do not configure SD-Dropout."""
    same_data = [other for other in others if other.get("dataset") == recipe.get("dataset")]
    if len({other.get("dataset") for other in others}) > 1:
        training_set = [f"trained on {recipe.get('dataset')}"]
    else:
        training_set = []
    general = [name for name in recipe if name not in (*_KNOWN, *SD_DROPOUT, "method_options")]
    settings = [*training_set, *_differences(recipe, same_data, general)]
    same_method = [other for other in same_data if other.get("method") == recipe.get("method")]
    details = _differences(recipe, same_method, ["method_options"])
    if _weight(recipe):
        same_weight = [other for other in same_method if _weight(other) == _weight(recipe)]
        details += _differences(recipe, same_weight, SD_DROPOUT)
    label = method_label(recipe.get("method"), _weight(recipe))
    bracket = ", ".join([*settings, *details])
    return (f"{label} ({bracket})" if bracket else label), ", ".join(settings)


def method_label(method: Any, weight: float) -> str:
    """Return a method's name with its SD-Dropout weight, e.g. "CE + SD-Dropout λ 0.1"."""
    name = NAMES.get(str(method), str(method))
    return f"{name} + SD-Dropout λ {weight:g}" if weight else name


def _weight(recipe: Mapping[str, Any]) -> float:
    value = recipe.get("sd_dropout")
    return float(value) if isinstance(value, int | float) else 0.0


def _differences(
    recipe: Mapping[str, Any], others: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[str]:
    """Return the fields in which recipes differ, with this recipe's values, except defaults."""
    return [
        f"{name.replace('_', ' ')} {_format_field(recipe.get(name))}"
        for name in names
        if len({json.dumps(other.get(name), sort_keys=True) for other in others}) > 1
        and recipe.get(name) != _DEFAULTS.get(name)
    ]


def _format_field(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={item}" for name, item in value.items()) or "default"
    if isinstance(value, list | tuple):
        return "/".join(str(item) for item in value)
    return "default" if value is None else str(value)
