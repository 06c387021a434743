"""A working folder with a trained checkpoint, without data sets."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code

sys.path.append(str(Path(__file__).parent))  # for working_folder.py

NAME = "digits-small_cnn-ce-seed0"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint trained for one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    flags = "train --dataset digits --arch small_cnn --epochs 1 --standardisation digits"
    options = ["--augmentation", "none", "--checkpoints", str(folder)]
    assert exit_code([*flags.split(), *options]) == 0
    return folder / NAME


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path) -> Path:
    """Set up a copy of the checkpoint, an empty data root, and the working folder."""
    shutil.copytree(trained, tmp_path / "checkpoints" / NAME)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def refused(capsys):
    """Run a command that must be refused; return its error line."""

    def run(command: str) -> str:
        capsys.readouterr()
        assert exit_code(command.split()) == 2
        message = capsys.readouterr().err
        assert message.startswith("sdd-eval: ")
        assert message.count("\n") == 1, message
        assert "Traceback" not in message
        return message

    return run
