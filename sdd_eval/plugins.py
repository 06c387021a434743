"""Plugins: entry points of the groups `sdd_eval.GROUP`, including the built-in ones."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError, unknown_name

GROUPS = ("evaluators", "detectors", "methods", "datasets", "models", "figures")


def points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, in sorted order, without importing them."""
    return dict(_installed(tuple((folder, _changed(folder)) for folder in sys.path)).get(group, {}))


@functools.lru_cache(maxsize=4)
def _installed(path: tuple[tuple[str, int], ...]) -> Mapping[str, dict[str, EntryPoint]]:
    """Return the entry points of all groups; cached until the import path changes.

    Reading the metadata of every installed package takes milliseconds, and a study looks up plugins
    a thousand times.
    """
    installed = entry_points()
    groups = {
        group: {p.name: p for p in installed.select(group=f"sdd_eval.{group}")} for group in GROUPS
    }
    return {group: dict(sorted(points.items())) for group, points in groups.items()}


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except (OSError, ValueError):
        return 0


def names(group: str) -> tuple[str, ...]:
    """Return the names of a group's plugins, without importing them."""
    return tuple(points(group))


def load(group: str, name: str) -> Any:
    """Import one plugin; raise InputError if it is unknown or cannot be imported."""
    plugins = points(group)
    if name not in plugins:
        raise unknown_name(group.removesuffix("s"), name, plugins)
    try:
        return plugins[name].load()
    except Exception as error:  # third-party modules may raise anything
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"plugin {name!r} ({plugins[name].value}) cannot be imported: {cause}"
        raise InputError(message) from error


def summary(group: str, name: str) -> str:
    """Return the first line of a plugin class's docstring, read from source; empty if none.

    The plugin is not imported, so that listing plugins does not load torch.

    >>> summary("evaluators", "selective")
    'Selective prediction and misclassification detection with four confidence scores'
    """
    point = points(group)[name]
    pattern = rf'^class {re.escape(point.attr)}\b[^\n]*:\n +"""(.*?)\.?(?:"""|\n)'
    try:
        match = re.search(pattern, _source(point.module).read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, ValueError, ImportError):
        return ""
    return match[1] if match else ""


def _source(module: str) -> Path:
    """Return the file of a module; only its top-level package is looked up, nothing is imported."""
    package, *parts = module.split(".")
    spec = find_spec(package)
    if spec is None:
        raise ImportError(module)
    if not parts:
        return Path(spec.origin or "")
    return Path((spec.submodule_search_locations or [""])[0], *parts).with_suffix(".py")
