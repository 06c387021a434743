"""Packages that export names lazily: every name exists and no submodule hides it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

import sdd_eval

ROOT = Path(sdd_eval.__file__).parent
PACKAGES = sorted(
    ".".join(("sdd_eval", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "lazy_exports(" in path.read_text()
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_exists_and_is_not_hidden_by_a_submodule(name):
    package = importlib.import_module(name)
    for _ in range(2):  # the first use imports the submodule
        for exported in package.__all__:
            assert not isinstance(getattr(package, exported), ModuleType), exported


@pytest.mark.parametrize("name", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module(name).no_such_name
