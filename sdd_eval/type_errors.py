"""Where and why msgspec rejects data of a type."""

from __future__ import annotations

import re
import types
import typing
from typing import Any, Literal

import msgspec

#: Maximum length of a value in an error message, in characters.
LONGEST_VALUE = 120
#: Names for types that msgspec does not call by their Python names.
_TYPE_WORDS = {"array": "a list", "object": "a mapping", "Protocol": "the id of a protocol"}


def failed_value(error: str, kind: Any, data: Any) -> tuple[tuple[str | int, ...], Any, Any]:
    """Return the path, the expected type and the value that msgspec rejects in data of a type."""
    path: list[Any] = []
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+|\.{3})\]", error.partition(" - at `$")[2]):
        if name:
            kind = typing.get_type_hints(kind)[name.replace("-", "_")]
        else:
            kind = typing.get_args(kind)[-1 if index == "..." else 0]
        if index == "...":  # msgspec does not say which key of a mapping
            path.append(next(key for key, item in data.items() if not _is_valid(item, kind)))
        else:
            path.append(name or int(index))
        kind, data = members(kind)[0], data[path[-1]]
    return tuple(path), kind, data


def shown(value: Any) -> str:
    """Format a value for an error message, shortened if it is long.

    >>> shown(0.5), shown("x" * 1000)[-5:]
    ('0.5', 'xxx …')
    """
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} …"


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def accepted(error: str, hint: Any) -> str:
    """Return what msgspec accepts for a value of a type, given its error.

    >>> accepted("Expected `int | null`, got `str`", int | None)
    'int'
    """
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(typing.get_args(hint))}"
    expected = re.match(r"Expected `(\w+)", error)
    name = expected[1] if expected else getattr(hint, "__name__", str(hint))
    return _TYPE_WORDS.get(name, name)


def members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union except None, or the type itself."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(a for a in typing.get_args(hint) if a is not types.NoneType)
    return (hint,)
