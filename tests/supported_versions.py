"""Run the fast suite on the oldest and on the newest supported Python and dependencies.

`make test-oldest` runs both; `python tests/supported_versions.py oldest` one of them, with further
arguments for pytest. The interpreters are `python3.10` and `python3.13`, or $OLDEST_PYTHON and
$NEWEST_PYTHON. Oldest means the lower bound of each dependency in pyproject.toml, extras for
optional features included; the tools of the suite itself (pytest, ruff, …) are always the newest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEWEST = "3.13"


def oldest_python() -> str:
    """Return the oldest supported minor version of Python."""
    return re.match(r">=(3\.\d+)", PROJECT["requires-python"])[1]


def lower_bounds() -> list[str]:
    """Return a pin `NAME==VERSION` for each dependency; raise ValueError if one has no bound."""
    extras = PROJECT["optional-dependencies"]
    pins = []
    for requirement in (*PROJECT["dependencies"], *extras["detection"]):
        bound = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
        if bound is None:
            raise ValueError(f"{requirement} has no lower bound in pyproject.toml")
        pins.append(f"{bound[1]}=={bound[2]}")
    return pins


def run(which: str, pytest_arguments: list[str]) -> int:
    """Install an environment below build/, run the suite in it, and return its exit code."""
    version = oldest_python() if which == "oldest" else NEWEST
    python = os.environ.get(f"{which.upper()}_PYTHON", f"python{version}")
    folder = ROOT / "build" / f"venv-{which}"
    subprocess.run([python, "-m", "venv", folder], check=True)
    constraints = folder / "constraints.txt"
    pins = lower_bounds() if which == "oldest" else []
    constraints.write_text("".join(f"{pin}\n" for pin in pins))
    install = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--upgrade"]
    strategy = ["--upgrade-strategy", "eager", "--constraint", constraints]
    subprocess.run([*install, *strategy, "--editable", f"{ROOT}[test]"], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "freeze"], check=True)
    options = pytest_arguments or ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    return subprocess.run([folder / "bin/pytest", *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    chosen = sys.argv[1:2] if sys.argv[1:2] in (["oldest"], ["newest"]) else ["oldest", "newest"]
    codes = [run(which, sys.argv[2:]) for which in chosen]
    sys.exit(max(codes))
