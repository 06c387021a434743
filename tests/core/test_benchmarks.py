"""The benchmarks follow the package: whatever they import exists, and the battery runs."""

from __future__ import annotations

import ast
import importlib.util
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _imports(script: Path) -> list[tuple[str, str]]:
    """Return what a script imports from the package: modules and names."""
    tree = ast.walk(ast.parse(script.read_text("utf-8")))
    imports = (node for node in tree if isinstance(node, ast.ImportFrom) and node.module)
    names = [(str(node.module), alias.name) for node in imports for alias in node.names]
    return [(module, name) for module, name in names if module.split(".")[0] == "sdd_eval"]


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_import_names_that_exist(script: Path) -> None:
    missing = [
        f"{module}.{name}"
        for module, name in _imports(script)
        if not hasattr(importlib.import_module(module), name)
        and importlib.util.find_spec(f"{module}.{name}") is None
    ]
    assert missing == []


def test_the_battery_of_evaluators_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    runpy.run_path(str(BENCHMARKS / "battery.py"))["main"](4, "resnet8")
    assert {"accuracy", "fgsm", "odin", "together"} <= set(capsys.readouterr().out.split())
