"""In the hardest tenth of the grid every 95 % interval has a coverage of at least 92 %.

Run with `pytest -m slow`. `grid.py` simulates the whole grid; its results are in the documentation.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import grid

pytestmark = pytest.mark.slow
REPETITIONS, LOWEST = 150, 0.92


@pytest.mark.parametrize("regime", list(grid.hardest()), ids=lambda regime: regime.key)
def test_intervals_contain_the_true_value_at_their_level(regime):
    regime.simulate(REPETITIONS)
    slack = 2.5 * math.sqrt(LOWEST * (1 - LOWEST) / REPETITIONS)
    counts = {**regime.single, **{f"paired {k}": c for k, c in regime.paired.items()}}
    low = {
        name: count.coverage
        for name, count in counts.items()
        if count.coverage is not None and count.coverage < LOWEST - slack
    }
    assert counts
    assert not low
