"""The two kinds of settings of an evaluator, told apart by their field.

`collects(…)`: it changes what the network computes for an image, so it is part of the run's key.
`scores(…)`: it changes only what is made of that; another value is another scoring of the same run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from sdd_eval.errors import unknown_name

Value = TypeVar("Value")


#: What a setting may have loaded.
Kind = Literal["images", "corruptions", "checkpoint", "training", "validation", "run"]


def collects(default: Value, *, loads: Kind | None = None, optional: bool = False) -> Value:
    """A setting that `collect` depends on.

    With `loads`, the setting holds names of data sets (one, or a tuple); before `collect` they
    are loaded into `subject.sets`. An empty value means the ones usual for the test set, or none
    where the setting is `optional`. With `loads="checkpoint"` it holds the name of one, found in
    `subject.networks`, or nothing.

    "training" is the set that the network was trained on; its training images are loaded, under
    `training_key` of its name, if the evaluator has `fits` and it is true. "validation" are the
    images that were held out of the checkpoint's training; the setting is empty without any, or
    where the evaluator's `chooses` is false.
    """
    metadata = {"stage": "collect", "loads": loads, "optional": optional}
    field: Value = dataclasses.field(default=default, metadata=metadata)
    return field


def training_key(name: str) -> str:
    """What the training images of a set are called in `subject.sets`."""
    return f"{name} training"


def scores(default: Value, *, loads: Literal["run"] | None = None, optional: bool = False) -> Value:
    """A setting that only `score` depends on; it must show in `at` of what it changes.

    An interval's settings show in its own words instead: the number beside it stays the same.

    With `loads="run"` it holds names of checkpoints. Their finished runs of the same evaluator on
    the same images, made where they are not there, are what this network is scored against: the
    arrays of NAME are among those given to `score`, and `arrays_of` takes them out.
    """
    metadata = {"stage": "score", "loads": loads, "optional": optional}
    field: Value = dataclasses.field(default=default, metadata=metadata)
    return field


def with_arrays_of(
    arrays: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A run's arrays, and beside them those of other checkpoints' runs, by checkpoint.

    >>> with_arrays_of({"logits": 1}, {"base": {"logits": 2}})
    {'logits': 1, 'base/logits': 2}
    """
    beside = {
        f"{name}/{key}": array for name, each in others.items() for key, array in each.items()
    }
    return {**arrays, **beside}


def arrays_of(checkpoint: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of another checkpoint's run among those given to `score`.

    >>> arrays_of("base", {"logits": 1, "base/logits": 2})
    {'logits': 2}
    """
    prefix = f"{checkpoint}/"
    return {k.removeprefix(prefix): each for k, each in arrays.items() if k.startswith(prefix)}


def alone(evaluator: Any) -> Any:
    """The evaluator without the checkpoints that it scores against."""
    kinds = settings_that_load(evaluator)
    against = {name: () for name, kind in kinds.items() if kind == "run"}
    return dataclasses.replace(evaluator, **against)


def of_stage(evaluator: Any, stage: str) -> dict[str, Any]:
    """The settings of an evaluator that belong to a stage, by name; unmarked ones are "collect".

    Without held-out images where there are none, so that evaluators that learn to use such images
    find the runs that they made before.
    """
    found = {}
    for field in dataclasses.fields(evaluator):
        value = getattr(evaluator, field.name)
        empty = field.metadata.get("loads") == "validation" and not value
        if field.metadata.get("stage", "collect") == stage and not empty:
            found[field.name] = value
    return found


def loaded_names(evaluator: Any) -> dict[str, str]:
    """The names of further data sets in the settings, each with its kind."""
    found = {}
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        found.update(dict.fromkeys((value,) if isinstance(value, str) else tuple(value), kind))
    return found


def with_settings(evaluator: Any, **settings: Any) -> Any:
    """The evaluator with other settings.

    Raises:
        InputError: it has no such setting.
    """
    known = [field.name for field in dataclasses.fields(evaluator)]
    for name in settings:
        if name not in known:
            raise unknown_name(f"setting of {evaluator.name}", name, known)
    return dataclasses.replace(evaluator, **settings)


def settings_that_load(evaluator: Any) -> dict[str, str]:
    """The settings that name further data sets, each with the kind that it names.

    Optional ones that name none are left out.
    """
    found = {}
    for field in dataclasses.fields(evaluator):
        optional = field.metadata.get("optional", False)
        if field.metadata.get("loads") and (getattr(evaluator, field.name) or not optional):
            found[field.name] = field.metadata["loads"]
    return found
