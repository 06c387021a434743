"""A working folder with a trained checkpoint, without data sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code

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
