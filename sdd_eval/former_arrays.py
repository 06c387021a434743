"""Arrays of runs by earlier versions, whose names encode coordinates and facts.

Such a file has one array per name, and facts repeated for each image. Names that match no rule
below, such as those of evaluators from other packages, are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from sdd_eval.arrays import Array, Arrays

#: The arrays of each evaluator that hold one fact, repeated for each image.
_FACTS: Mapping[str, tuple[str, ...]] = {
    "attack": ("temperature", "held_out", "channels", "classes", "cross_entropy", "threat"),
    "calibration": ("temperature", "temperature_error"),
    "corruption": ("frost", "origin", "recipe"),
    "fgsm": ("temperature", "constants"),
    "selective": ("origin",),
}
_TEMPERATURE = "(?P<temperature>one|fitted)"
#: What the names of an evaluator's arrays encode: the new name, and coordinates.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "attack": (
        f"(?P<name>zero_gradient)(?P<gradient>|_float32)_{_TEMPERATURE}",
        f"(?P<name>survives|broken_by|change|path_differs)_{_TEMPERATURE}",
        f"(?P<name>survives)_(?P<attack>.+)_{_TEMPERATURE}",
    ),
    "corruption": (
        "(?P<name>correct|confidence)_clean",
        "(?P<name>correct|confidence|missing)_(?P<corruption>.+)",
    ),
    "fgsm": (
        "(?P<name>predicted)_(?P<variant>[a-z]+)_(?P<gradient>random)",
        "(?P<name>predicted|zero_gradient)_(?P<variant>[a-z]+)_(?P<gradient>stable|float32)_"
        + _TEMPERATURE,
    ),
    "mask_variance": ("(?P<name>squares|spread)_(?P<outliers>.+)",),
    "odin": ("held_out", "(?P<detector>scores|grid)(_(?P<outliers>.+))?"),
    "ood": (
        "held_out",
        "(?P<detector>[^:.]+)(:(?P<outliers>.+))?",
        r"(?P<detector>[^:.]+)\.(?P<count>.+)",
    ),
    "selective": ("(?P<name>correct|scores)_in_(?P<corruption>.+)",),
}
#: Former coordinates, by axis.
_COORDINATES: Mapping[tuple[str, str], Any] = {
    ("temperature", "one"): 1.0,
    ("gradient", ""): "stable",
    ("gradient", "_float32"): "float32",
    ("odin detector", "scores"): "odin",
    ("odin detector", "grid"): "odin_grid",
}


def structured(evaluator: str, arrays: Mapping[str, Any]) -> Arrays:
    """Convert arrays (or functions that read them) by former names to an evaluator's arrays.

    >>> import numpy as np
    >>> former = {"scores": np.ones(2), "scores_svhn": np.zeros(1)}
    >>> structured("odin", former).where(detector="odin", outliers="svhn")["scores"]
    array([0.])
    """
    entries: list[Array] = []
    facts: dict[str, Any] = {}
    for former, values in arrays.items():
        name, at = _place(evaluator, former)
        entry = Array(name, values, (), at)
        if former in _FACTS.get(evaluator, ()):
            facts |= _fact(former, entry.read()[0].tolist())
        elif name == "missing":
            facts.setdefault(name, {})[at["corruption"]] = entry.read()[0].tolist()
        elif "count" in at:
            of_detector = facts.setdefault("counts", {}).setdefault(at["detector"], {})
            of_detector[at["count"]] = entry.read()[0].tolist()
        else:
            entries.append(entry)
    return Arrays(entries, **facts)


def _fact(name: str, value: Any) -> dict[str, Any]:
    if name == "threat":
        return {name: json.loads(value)}
    if name == "constants":
        return dict(zip(("mean", "std"), value, strict=True))
    return {name: None if value != value else value}


def _place(evaluator: str, former: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the coordinates of an array."""
    for pattern in _NAMES.get(evaluator, ()):
        match = re.fullmatch(pattern, former)
        if match:
            groups = {axis: value for axis, value in match.groupdict().items() if value is not None}
            break
    else:
        return former, {}
    name = groups.pop("name", "scores" if groups else "validation_scores")
    return name, {axis: _coordinate(evaluator, axis, value) for axis, value in groups.items()}


def _coordinate(evaluator: str, axis: str, value: str) -> Any:
    """Return a coordinate; those of `ood` are URL-escaped."""
    if evaluator == "ood":
        return unquote(value)
    return _COORDINATES.get((axis, value), _COORDINATES.get((f"{evaluator} {axis}", value), value))
