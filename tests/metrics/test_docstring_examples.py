"""The examples in the docstrings of metrics, statistics and comparisons give the shown results."""

import doctest
import importlib
import pkgutil

import pytest

import sdd_eval.comparison
import sdd_eval.metrics
import sdd_eval.statistics

METRICS = [f"metrics.{m.name}" for m in pkgutil.iter_modules(sdd_eval.metrics.__path__)]
OTHERS = [
    f"{package.__name__.removeprefix('sdd_eval.')}.{module.name}"
    for package in (sdd_eval.statistics, sdd_eval.comparison)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", [*METRICS, *OTHERS])
def test_docstring_examples_give_the_shown_results(name):
    results = doctest.testmod(importlib.import_module(f"sdd_eval.{name}"))
    assert results.failed == 0
    assert results.attempted > 0 or name not in METRICS
