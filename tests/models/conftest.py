"""A network with its tensors as public code names them; tests import the module of helpers."""

import sys
from pathlib import Path

import pytest
import torch

from sdd_eval.models.build import build

sys.path.append(str(Path(__file__).parent))  # for public_weights.py
pytest.register_assert_rewrite("public_weights")


@pytest.fixture(scope="module")
def network():
    from public_weights import spec

    torch.manual_seed(0)
    return build(spec())


@pytest.fixture(scope="module")
def state(network):
    """Return the tensors under the names of public code."""
    from public_weights import plain

    return plain(network)
