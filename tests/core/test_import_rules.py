"""Rules for imports between modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sdd_eval

PACKAGE = Path(sdd_eval.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """Return the modules that a file imports outside `if TYPE_CHECKING`."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.add(child.module)
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            elif not (top_only and isinstance(child, ast.FunctionDef)):
                visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("name", ["errors", "plugins", "records", "progress"])
def test_core_modules_import_only_the_standard_library_and_msgspec(name):
    roots = {module.split(".")[0] for module in imported(PACKAGE / f"{name}.py")}
    assert roots - {"sdd_eval", "msgspec"} <= set(sys.stdlib_module_names)


def test_metrics_do_not_import_torch():
    for path in (PACKAGE / "metrics").glob("*.py"):
        roots = {module.split(".")[0] for module in imported(path, top_only=True)}
        assert not roots & {"torch", "torchvision", "torchattacks"}, path


def test_functions_do_not_import_from_the_package():
    """Functions that need a slow module use its package, which exports it lazily."""
    inside = {
        f"{path.relative_to(PACKAGE)}: {ast.unparse(statement)}"
        for path in MODULES
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if _imports_the_package(statement)
    }
    assert not inside


def _imports_the_package(statement: ast.AST) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.level > 0 or (statement.module or "").split(".")[0] == "sdd_eval"
    names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
    return any(name.split(".")[0] == "sdd_eval" for name in names)


def test_modules_are_imported_by_name_only_by_plugins_lazy_packages_and_commands():
    by_name = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if {"importlib", "importlib.import_module"} & imported(path)
        and "import_module(" in path.read_text()
    }
    assert by_name <= {"lazy.py", "cli/__init__.py", "models/foreign.py"}


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "torchattacks"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
import os
os.chdir(sys.argv[1])
from sdd_eval.cli import exit_code
sys.exit(exit_code(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "plugins",
        "data list",
        "report --help",
        "compare --help",
        "batch",
        "paper --tables 7",
        "data --help",
        "data cache --cache here",
        "calibration --help",
        "ood --help",
        "detection --help",
        "train-detector --help",
    ],
)
def test_quick_commands_never_import_torch(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path), *command.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_importing_the_package_does_not_import_torch():
    code = "import sys, sdd_eval, sdd_eval.report.write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
