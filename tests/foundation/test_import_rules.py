"""Who may import whom."""

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
    """Names of the modules that a file imports, outside `if TYPE_CHECKING`."""
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


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own(path: Path) -> set[str]:
    """The rooms of this package that a file imports from, at any depth of its functions."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("sdd_eval.")}


#: room → the rooms that it may import from, itself aside.
ALLOWED = {
    "errors": set(),
    "freed_memory": set(),
    "plugins": {"errors"},
    "records": {"errors"},
    "corruptions": set(),
    "progress": set(),
    "randomness": set(),
    "statistics": {"errors"},
    "store": {"errors", "records"},
    "metrics": {"corruptions", "errors"},
    "data": {"corruptions", "errors", "plugins", "progress", "randomness", "records", "store"},
    "models": {"errors", "plugins", "records", "randomness"},
    "training": {
        "data", "errors", "metrics", "models", "plugins", "progress", "randomness", "records",
        "store",
    },
    "evaluators": {
        "corruptions", "data", "errors", "metrics", "models", "plugins", "progress", "randomness",
        "records", "statistics",
    },
    "batch": {
        "data", "detection", "errors", "evaluation", "evaluators", "freed_memory", "models",
        "plugins", "progress", "records", "statistics", "store", "training",
    },
    "detection": {
        "data", "errors", "evaluation", "models", "progress", "randomness", "records", "store",
        "training",
    },
    "paper": {"errors", "plugins", "records", "statistics", "store"},
    "figures": {"corruptions", "errors", "statistics"},
    "comparison": {
        "corruptions", "data", "errors", "evaluators", "metrics", "plugins", "progress", "records",
        "statistics", "store",
    },
    "report": {
        "comparison", "corruptions",
        "errors", "figures", "paper", "plugins", "progress", "records", "statistics", "store",
    },
}  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_rooms_that_it_may(path):
    here = room(path)
    if here in ALLOWED:
        assert own(path) - {here, "__version__"} <= ALLOWED[here]
    if here != "cli" and path.name != "__main__.py":
        assert "cli" not in own(path), "only __main__ may import the command line"


@pytest.mark.parametrize("name", ["errors", "plugins", "records", "progress"])
def test_the_ground_needs_only_the_standard_library(name):
    roots = {module.split(".")[0] for module in imported(PACKAGE / f"{name}.py")}
    assert roots - {"sdd_eval"} <= set(sys.stdlib_module_names)


def test_metrics_know_no_network():
    for path in (PACKAGE / "metrics").glob("*.py"):
        roots = {module.split(".")[0] for module in imported(path, top_only=True)}
        assert not roots & {"torch", "torchvision", "torchattacks"}, path


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


def test_the_package_itself_costs_no_torch():
    code = "import sys, sdd_eval, sdd_eval.report.write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
