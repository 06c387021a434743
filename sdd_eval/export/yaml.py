"""Write the subset of YAML that the metadata of a model card needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def to_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping with plain keys as YAML; text is always quoted, so that it stays text.

    >>> print(to_yaml({"name": "on", "results": [{"value": 1e-05, "args": {"n": 10}}]}))
    name: "on"
    results:
    - value: 1.0e-05
      args:
        n: 10
    """
    return "\n".join(_mapping(value))


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _mapping(item))
        elif isinstance(item, list | tuple):
            yield f"{key}:"
            yield from (line for one in item for line in _element(one))
        else:
            yield f"{key}: {_scalar(item)}"


def _element(item: Any) -> Iterator[str]:
    """Yield the lines of one element of a list."""
    lines = _mapping(item) if isinstance(item, Mapping) else iter([_scalar(item)])
    yield f"- {next(lines)}"
    yield from (f"  {line}" for line in lines)


def _scalar(value: Any) -> str:
    """Return a scalar as JSON, with a decimal point before exponents, which YAML requires."""
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text
