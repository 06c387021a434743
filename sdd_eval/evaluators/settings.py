"""Settings of an evaluator, marked with the stage that depends on them.

`collects(…)`: the setting changes what the network computes, so it is part of the run's key.
`scores(…)`: it only changes what is computed from these outputs, so a run can be rescored without
the network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from sdd_eval.validation import Bound

Value = TypeVar("Value")

#: Kinds of things that a setting may name and that are then loaded.
Kind = Literal["images", "corruptions", "checkpoint", "training", "validation", "run"]


def collects(
    default: Value,
    *,
    loads: Kind | None = None,
    optional: bool = False,
    bound: Bound | None = None,
) -> Value:
    """Return a field for a setting that `collect` depends on; a number may have a bound.

    With `loads`, the setting holds names of data sets (one, or a tuple), which are loaded into
    `subject.sets` before `collect`. An empty value selects the usual sets for the test set, or none
    if the setting is `optional`. With `loads="checkpoint"`, it is empty or holds the name of a
    checkpoint, which is loaded into `subject.networks`.

    "training" is the set that the network was trained on; if the evaluator's attribute `fits` is
    true, its training images are loaded under the `training_key` of its name. "validation" is the
    set of images held out from the checkpoint's training; the setting is empty if there are none,
    or if the evaluator's attribute `chooses` is false.
    """
    metadata = {"stage": "collect", "loads": loads, "optional": optional, "bound": bound}
    field: Value = dataclasses.field(default=default, metadata=metadata)
    return field


def training_key(name: str) -> str:
    """Return the key of a set's training images in `subject.sets`."""
    return f"{name} training"


def scores(
    default: Value,
    *,
    loads: Literal["run"] | None = None,
    optional: bool = False,
    bound: Bound | None = None,
) -> Value:
    """Return a field for a setting that only `score` depends on; a number may have a bound.

    It must be an axis of the numbers that it changes. Settings of intervals are shown in the
    interval's description instead, as they do not change the number.

    With `loads="run"`, it holds the names of checkpoints. The network is compared with their runs
    of the same evaluator on the same images, whose arrays are in `arrays.compared` by name.
    """
    metadata = {"stage": "score", "loads": loads, "optional": optional, "bound": bound}
    field: Value = dataclasses.field(default=default, metadata=metadata)
    return field


def without_runs(evaluator: Any) -> Any:
    """Return the evaluator without the checkpoints that it compares against."""
    kinds = settings_that_load(evaluator)
    empty = {name: () for name, kind in kinds.items() if kind == "run"}
    return dataclasses.replace(evaluator, **empty)


def of_stage(evaluator: Any, stage: str) -> dict[str, Any]:
    """Return the settings of a stage by name; unmarked ones belong to "collect".

    An empty validation set is left out, so that runs made before an evaluator had this setting are
    still found.
    """
    settings = {}
    for field in dataclasses.fields(evaluator):
        value = getattr(evaluator, field.name)
        empty = field.metadata.get("loads") == "validation" and not value
        if field.metadata.get("stage", "collect") == stage and not empty:
            settings[field.name] = value
    return settings


def loaded_names(evaluator: Any) -> dict[str, str]:
    """Return the names in the settings that load something, and the kind of each."""
    kinds = {}
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        kinds.update(dict.fromkeys((value,) if isinstance(value, str) else tuple(value), kind))
    return kinds


def from_stored(kind: Any, settings: Mapping[str, Any]) -> Any:
    """Return an evaluator with the settings of a stored run, under their current names.

    Settings that no longer exist are ignored, and settings added since then have their defaults.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    known = {name: value for name, value in settings.items() if name in fields}
    return kind(**{name: _stored(fields[name].default, value) for name, value in known.items()})


def _stored(default: Any, value: Any) -> Any:
    """Convert a setting from its JSON value."""
    if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
        kind: Any = type(default)
        return kind(**value)
    return tuple(value) if isinstance(value, list) else value


def settings_that_load(evaluator: Any) -> dict[str, str]:
    """Return the settings that load something, and the kind of each, except empty optional ones."""
    kinds = {}
    for field in dataclasses.fields(evaluator):
        optional = field.metadata.get("optional", False)
        if field.metadata.get("loads") and (getattr(evaluator, field.name) or not optional):
            kinds[field.name] = field.metadata["loads"]
    return kinds
