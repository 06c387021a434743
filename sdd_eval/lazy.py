"""Lazy exports of a package (PEP 562): importing it loads a submodule only when a name is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any


class _LazyPackage(ModuleType):
    """A package of which an exported name takes precedence over a submodule of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, except where importing a submodule would hide an exported name."""
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)


def lazy_exports(package: str, exports: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a module `__getattr__` that imports each name from its submodule on first use.

    The package also lists the names in `__all__` and imports them if `TYPE_CHECKING`; else it calls
    this function with its `__name__` and the names by submodule, so that a type checker reports
    names that do not exist.
    """
    sys.modules[package].__class__ = _LazyPackage
    submodules = {name: submodule for submodule, names in exports.items() for name in names}

    def load(name: str) -> Any:
        if name not in submodules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{submodules[name]}"), name)

    return load
