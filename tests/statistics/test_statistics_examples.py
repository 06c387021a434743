"""The numbers in the docstrings of the statistics are what they give."""

import doctest
import importlib
import pkgutil

import pytest

import sdd_eval.statistics

MODULES = [module.name for module in pkgutil.iter_modules(sdd_eval.statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(f"sdd_eval.statistics.{name}"))
    assert found.failed == 0
