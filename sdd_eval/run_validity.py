"""Check whether a run that was read could have been written by an evaluation."""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from sdd_eval.provenance import RunProvenance
from sdd_eval.records import Measurement, ModelSpec, Recipe, Run, with_present_names
from sdd_eval.type_errors import shown

#: Units of counts.
COUNTS = ("images", "count")
#: Limits on the content of a run; a file that exceeds them is considered damaged.
MOST_IMAGES, LARGEST, DEEPEST = 10**12, 1e100, 30
#: The allowed types of a number's coordinates.
SCALARS = (str, int, float, type(None))

_hints = functools.cache(typing.get_type_hints)


def invalid(run: Run) -> str:
    """Return why a run is invalid, or an empty string.

    >>> invalid(Run("c", "", "digits", "", "accuracy", 1, {}, None, -10, ()))
    '-10 images with limit None'
    """
    sizes = (run.n, 1 if run.limit is None else run.limit)
    if not 0 <= run.n <= MOST_IMAGES or not 1 <= sizes[1] <= MOST_IMAGES:
        return f"{shown(run.n)} images with limit {shown(run.limit)}"
    if _is_deep((run.settings, run.provenance.stored())):
        return f"settings or provenance nested more than {DEEPEST} times"
    for name, count in _counts(run.provenance).items():
        if count is not None and not 0 <= count <= LARGEST:
            return f"{count:g} {name} in its provenance"
    recipe = with_present_names(Recipe, run.provenance.recipe or {})
    wrong = _wrong_field(Recipe, recipe) or _wrong_field(ModelSpec, run.provenance.model or {})
    return wrong or next(filter(None, map(_invalid_number, run.measurements)), "")


def _counts(provenance: RunProvenance) -> dict[str, float | None]:
    """Return the counts in the provenance of a run, by what they count."""
    counts: dict[str, float | None] = {
        name: getattr(provenance, name) for name in ("threads", "resumed", "batch_size", "seconds")
    }
    for name, facts in provenance.data.items():
        counts |= {f"images of {name}": facts.images, f"classes of {name}": facts.classes}
    return counts


def _wrong_field(kind: Any, values: Mapping[str, Any]) -> str:
    """Return the first value of a record whose type does not match its field, or nothing."""
    hints = _hints(kind)
    for name in values.keys() & hints.keys():
        try:
            msgspec.convert(values[name], hints[name])
        except msgspec.ValidationError:
            return f"a {kind.__name__} whose {name} is {shown(values[name])}"
    return ""


def _invalid_number(number: Measurement) -> str:
    """Return the invalid part of a number, or an empty string."""
    value, low, high = number.value, number.low, number.high
    if not all(abs(x) <= LARGEST for x in (value, low, high) if x is not None):  # NaN is not
        return f"{shown(number.metric)} {value:g}, with an interval of {(low, high)}"
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        return f"{shown(number.metric)} with the interval {(low, high)}"
    if number.level is not None and not 0 < number.level < 1:
        return f"{shown(number.metric)} with an interval at level {number.level:g}"
    if number.unit in COUNTS and value < 0:
        return f"{shown(number.metric)} {value:g}, a negative count"
    if not all(isinstance(coordinate, SCALARS) for coordinate in number.at.values()):
        return f"{shown(number.metric)} at {shown(dict(number.at))}, of which one is no plain value"
    return ""


def _is_deep(value: Any, left: int = DEEPEST) -> bool:
    """Return whether plain values are nested more deeply than this."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if not isinstance(value, list | tuple):
        return False
    return left == 0 or any(_is_deep(item, left - 1) for item in value)
