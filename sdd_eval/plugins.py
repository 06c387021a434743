"""Plugins are entry points: `names` of a group, `load` one. Built-ins use the same way."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sdd_eval.errors import InputError, unknown_name

GROUPS = ("evaluators", "detectors", "methods", "datasets", "models", "figures")


def points(group: str) -> dict[str, EntryPoint]:
    """The entry points of `sdd_eval.GROUP`, by name, sorted; nothing is imported."""
    found = {point.name: point for point in entry_points(group=f"sdd_eval.{group}")}
    return dict(sorted(found.items()))


def names(group: str) -> tuple[str, ...]:
    """The names of the plugins of a group; nothing is imported."""
    return tuple(points(group))


def load(group: str, name: str) -> Any:
    """Import one plugin.

    Raises:
        InputError: the name is unknown, or its module does not import.
    """
    found = points(group)
    if name not in found:
        raise unknown_name(group.removesuffix("s"), name, found)
    try:
        return found[name].load()
    except Exception as error:  # a stranger's module may raise anything
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"plugin {name!r} ({found[name].value}) does not import: {cause}"
        raise InputError(message) from error
