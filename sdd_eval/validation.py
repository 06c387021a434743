"""Bounds of numeric settings, declared next to the setting."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Bound:
    """A condition on a number, in words and as a predicate."""

    accepted: str
    holds: Callable[[float], bool]


ABOVE_0 = Bound("above 0", lambda value: value > 0)
FROM_0 = Bound("0 or more", lambda value: value >= 0)
FROM_1 = Bound("1 or more", lambda value: value >= 1)
BELOW_1 = Bound("0 or more and below 1", lambda value: 0 <= value < 1)
BETWEEN_0_AND_1 = Bound("between 0 and 1", lambda value: 0 < value < 1)


def bounded(default: float | None, bound: Bound, **metadata: Any) -> Any:
    """Return a dataclass field for a number within a bound, or None, with further metadata."""
    return dataclasses.field(default=default, metadata={"bound": bound, **metadata})


def bounds_of(kind: Any) -> dict[str, Bound]:
    """Return the bounds of a dataclass's fields, by name."""
    fields = dataclasses.fields(kind)
    return {field.name: field.metadata["bound"] for field in fields if "bound" in field.metadata}


def check_bounds(values: Any, bounds: dict[str, Bound], where: str = "") -> None:
    """Raise InputError if an attribute is out of its bounds; the message begins with `where`."""
    for name, bound in bounds.items():
        value = getattr(values, name)
        if value is None:
            continue
        finite = "" if math.isfinite(value) else "finite and "
        if finite or not bound.holds(value):
            flag = name.replace("_", "-") if where == "--" else name
            raise InputError(f"{where}{flag} is {value}; it must be {finite}{bound.accepted}")


def check_milestones(milestones: Sequence[int] | None) -> None:
    """Raise InputError unless milestones are ascending epochs from 1."""
    if milestones is None:
        return
    if list(milestones) != sorted(set(milestones)) or min(milestones, default=1) < 1:
        raise InputError(f"milestones are {milestones}; they must be epochs from 1, ascending")


def parse_json(value: Any) -> Any:
    """Return the JSON value that a text spells; any other text or value is returned unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
