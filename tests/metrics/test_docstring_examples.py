"""The examples in docstrings give the shown results."""

import doctest
import importlib
from pathlib import Path

import pytest

import sdd_eval

ROOT = Path(sdd_eval.__path__[0])
EXAMPLES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstring_examples_give_the_shown_results(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0
    assert results.attempted > 0


def test_every_module_of_metrics_has_examples():
    modules = {f"sdd_eval.metrics.{path.stem}" for path in (ROOT / "metrics").glob("[!_]*.py")}
    assert modules
    assert modules <= set(EXAMPLES)
