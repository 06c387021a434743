"""Reference scripts and their recorded numbers."""

import json
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def script():
    """What a script of this folder defines, by its name."""
    return lambda name: runpy.run_path(str(HERE / f"{name}.py"))


@pytest.fixture(scope="session")
def written_down():
    """The numbers that a script wrote down, with the versions of what gave them."""

    def read(name):
        text = json.loads((HERE / f"{name}.json").read_text())
        assert all(text["versions"].values())
        return text["numbers"]

    return read
