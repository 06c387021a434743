"""Plugins are entry points: `names` of a group, `load` one. Built-ins use the same way."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sdd_eval.errors import InputError, unknown_name

GROUPS = ("evaluators", "detectors", "methods", "datasets", "models", "figures")


def points(group: str) -> dict[str, EntryPoint]:
    """The entry points of `sdd_eval.GROUP`, by name, sorted; nothing is imported."""
    return dict(_installed(tuple((place, _changed(place)) for place in sys.path)).get(group, {}))


@functools.lru_cache(maxsize=4)
def _installed(path: tuple[tuple[str, int], ...]) -> Mapping[str, dict[str, EntryPoint]]:
    """All groups, as long as the import path holds what it does.

    To read what every installed package says takes milliseconds, and a study asks a thousand times.
    """
    every = entry_points()
    found = {
        group: {p.name: p for p in every.select(group=f"sdd_eval.{group}")} for group in GROUPS
    }
    return {group: dict(sorted(points.items())) for group, points in found.items()}


def _changed(place: str) -> int:
    """When a folder of the import path last got or lost a file; 0 where it is none."""
    try:
        return os.stat(place or ".").st_mtime_ns
    except (OSError, ValueError):
        return 0


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
