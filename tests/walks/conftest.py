"""An empty folder to work in, and the command line in it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sdd_eval.cli import exit_code


class Finished(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with data sets and cache below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def command(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Finished]:
    """Return a function that runs a command line of `sdd-eval`."""

    def run(line: str) -> Finished:
        capsys.readouterr()
        code = exit_code(shlex.split(line))
        return Finished(code, *capsys.readouterr())

    return run
