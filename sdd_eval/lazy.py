"""Lazy exports of a package (PEP 562): importing it loads a submodule only when a name is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module `__getattr__` that imports each name from its submodule on first use.

    Args:
        package: `__name__` of the package.
        names: submodule, relative to the package, of each exported name.

    Raises:
        AttributeError: on use, if the package exports no such name.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{names[name]}"), name)

    return load
