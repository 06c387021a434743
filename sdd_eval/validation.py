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
    """A condition on a number, as text and as a predicate, and a maximum value with its reason."""

    accepted: str
    holds: Callable[[float], bool]
    largest: float = 1e38
    reason: str = "larger numbers overflow in the arithmetic of 32 bits"

    def at_most(self, largest: float, reason: str) -> Bound:
        """Return the bound with a maximum value."""
        return dataclasses.replace(self, largest=largest, reason=reason)


ABOVE_0 = Bound("above 0", lambda value: value > 0)
FROM_0 = Bound("0 or more", lambda value: value >= 0)
FROM_1 = Bound("1 or more", lambda value: value >= 1)
BELOW_1 = Bound("0 or more and below 1", lambda value: 0 <= value < 1)
BETWEEN_0_AND_1 = Bound("between 0 and 1", lambda value: 0 < value < 1)
SHARE = Bound("between 0 and 1, both included", lambda value: 0 <= value <= 1)
MAGNITUDE = FROM_0.at_most(30, "torchvision defines 31 strengths")
EPOCHS = FROM_1.at_most(1_000_000, "no schedule is longer")
LAYERS = FROM_0.at_most(100, "a network of more fully connected layers does not train")
SIDE = FROM_1.at_most(16_384, "a batch of larger images fills any memory")
THREADS = FROM_1.at_most(1024, "more threads than processor cores only wait for each other")
BINS = FROM_1.at_most(10_000, "with more bins than images almost all bins are empty")
RESAMPLES = FROM_1.at_most(1_000_000, "more change no end of an interval by a visible amount")


def bounded(default: float | None, bound: Bound, **metadata: Any) -> Any:
    """Return a dataclass field for a number within a bound, or None, with additional metadata."""
    return dataclasses.field(default=default, metadata={"bound": bound, **metadata})


def bounds_of(kind: Any) -> dict[str, Bound]:
    """Return the bounds of a dataclass's fields, by name."""
    bounds = {field.name: field.metadata.get("bound") for field in dataclasses.fields(kind)}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def check_bounds(values: Any, bounds: dict[str, Bound], where: str = "") -> None:
    """Raise InputError if an attribute is out of its bounds; the message begins with `where`.

    None, which selects a default, is within all bounds.
    """
    for name, bound in bounds.items():
        if getattr(values, name) is not None:
            flag = name.replace("_", "-") if where == "--" else name
            check_bound(f"{where}{flag}", getattr(values, name), bound)


def check_bound(name: str, value: float, bound: Bound) -> None:
    """Raise InputError if a number is out of its bound.

    >>> check_bound("--bins", 12_345, BINS)
    Traceback (most recent call last):
    sdd_eval.errors.InputError: --bins is 12345; it must be at most 10,000: with more bins than \
images almost all bins are empty
    """
    finite = "" if isinstance(value, int) or math.isfinite(value) else "finite and "
    if finite or not bound.holds(value):
        raise InputError(f"{name} is {value}; it must be {finite}{bound.accepted}")
    if value > bound.largest:
        largest = f"{bound.largest:,}" if isinstance(bound.largest, int) else f"{bound.largest:g}"
        raise InputError(f"{name} is {value}; it must be at most {largest}: {bound.reason}")


def check_milestones(milestones: Sequence[int] | None, epochs: int) -> None:
    """Raise InputError unless milestones are increasing epochs from 1 to the last but one."""
    if not milestones:
        return
    if list(milestones) != sorted(set(milestones)) or milestones[0] < 1:
        raise InputError(f"milestones are {milestones}; they must be epochs from 1, ascending")
    if milestones[-1] >= epochs:
        raise InputError(
            f"the last milestone is {milestones[-1]}; the learning rate changes after that epoch, "
            f"so it must be smaller than the number of epochs, {epochs}"
        )


def parse_json(value: Any) -> Any:
    """Parse a text as a JSON value; any other text or value is returned unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
