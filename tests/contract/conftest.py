"""Packages of third parties, installed from wheels that are built here."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Mapping[str, str]], Path]:
    """Build a wheel of a project and its modules; return a folder in which it is installed."""

    def installed(project: str, modules: Mapping[str, str]) -> Path:
        folder = tmp_path_factory.mktemp("third_party")
        (folder / "pyproject.toml").write_text(textwrap.dedent(project))
        for name, text in modules.items():
            (folder / name).write_text(textwrap.dedent(text))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheel", "."]
        subprocess.run([*pip, *build], cwd=folder, check=True, capture_output=True)
        (wheel,) = (folder / "wheel").glob("*.whl")
        target = ["install", "--no-deps", "--no-index", "--target", "site", str(wheel)]
        subprocess.run([*pip, *target], cwd=folder, check=True, capture_output=True)
        return folder / "site"

    return installed
