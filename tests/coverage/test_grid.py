"""The simulation of coverage runs for every kind of population."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import grid
import populations


@pytest.mark.parametrize(
    ("population", "names"),
    [
        (
            populations.Classification(0.9, 0.05, "smooth", size=2000),
            {"accuracy", "ece", "ece_adaptive", "ece_classwise", "nll", "brier", "aurc", "augrc"},
        ),
        (
            populations.Ranking(1.0, "ties", 100, 60, size=2000),
            {"auroc", "fpr_at_95_tpr", "detection_error", "aupr_in", "aupr_out"},
        ),
        (
            populations.Cells(0.7, 0.5, size=500),
            {"mca", "ece, mean of 75 cells", "mean_corruption_error"},
        ),
    ],
    ids=["classification", "ranking", "cells"],
)
def test_samples_of_every_population_are_counted(population, names):
    regime = grid.Regime(population, 100)
    regime.simulate(2)
    assert names <= regime.single.keys()
    assert names <= regime.paired.keys()
    for counts in (*regime.single.values(), *regime.paired.values()):
        assert counts.total == 2
    assert all(regime.single[name].missing == 0 for name in names)


def test_the_table_names_the_lowest_coverage(tmp_path, monkeypatch):
    population = populations.Ranking(1.0, "normal", 100, 60, size=1000)
    monkeypatch.setattr(grid, "regimes", lambda: [grid.Regime(population, 100)])
    monkeypatch.setattr(grid, "REPETITIONS", {100: 3})
    grid.run(tmp_path)
    grid.run(tmp_path)
    assert len((tmp_path / "coverage.jsonl").read_text().splitlines()) == 1
    assert "| `auroc` | 1 | 1.000 |" in grid.table(tmp_path)
