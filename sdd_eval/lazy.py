"""Lazy exports of a package (PEP 562): importing it loads a submodule only when a name is used."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _LazyPackage(ModuleType):
    """A package whose exported names take precedence over submodules of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, unless importing a submodule would hide an exported name."""
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        """Return the exported names for completion, whether or not they are loaded."""
        return sorted({*self.__all__, *(name for name in self.__dict__ if name.startswith("__"))})


def exported(module: str, name: str) -> Any:
    """Import a module now and return a name from it, for what a lower layer may not import."""
    return getattr(importlib.import_module(module), name)


def lazy_exports(package: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return a module `__getattr__` that imports each name on first use, and an `__all__`.

    The package imports the names from their submodules under `if TYPE_CHECKING`, where this
    function reads them, so that a type checker reports names that do not exist.
    """
    module = sys.modules[package]
    module.__class__ = _LazyPackage
    (block,) = (
        node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.module]
    submodules = {alias.name: node.module for node in imports for alias in node.names}

    def load(name: str) -> Any:
        if name not in submodules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return exported(str(submodules[name]), name)

    return load, list(submodules)
