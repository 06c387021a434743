"""Study files in temporary folders, with trainings of about a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sdd_eval.studies import Lookup

RECIPE = """
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 1
"""

TINY = f"""
name = "tiny"
title = "Two weights"
{RECIPE}
[[train]]
sd_dropout = [0.0, 0.1]

[[evaluate]]
evaluator = "accuracy"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with no data below its data root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def study_file(here: Path) -> Callable[[str], Path]:
    """Write a study file."""

    def write(text: str) -> Path:
        path = here / "study.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def lookup(here: Path) -> Lookup:
    """The empty folders of data sets and checkpoints."""
    return Lookup(here / "data", here / "checkpoints")


@pytest.fixture
def recipe() -> str:
    """The table of a recipe that trains in a second."""
    return RECIPE


@pytest.fixture
def tiny(study_file: Callable[[str], Path]) -> Path:
    """Two trainings with an evaluation each."""
    return study_file(TINY)
