"""Reference scripts and their recorded numbers."""

import json
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def script():
    """Return the definitions of a script of this folder."""
    return lambda name: runpy.run_path(str(HERE / f"{name}.py"))


@pytest.fixture(scope="session")
def written_down():
    """Return the recorded numbers of a script with the versions of its libraries."""

    def read(name):
        text = json.loads((HERE / f"{name}.json").read_text())
        assert all(text["versions"].values())
        return text["numbers"]

    return read
