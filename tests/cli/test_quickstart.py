"""The embedded default, with a training of one epoch and a few images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sdd_eval import quickstart, store
from sdd_eval.cli import exit_code


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, and a quickstart of two seeds and one epoch."""
    monkeypatch.chdir(tmp_path)
    short = dataclasses.replace(quickstart.RECIPE, epochs=1)
    monkeypatch.setattr(quickstart, "RECIPE", short)
    monkeypatch.setattr(quickstart, "SEEDS", (0, 1))
    return tmp_path


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("only_svg")
def test_it_trains_measures_reports_and_then_does_nothing_that_is_done(here, capfd):
    assert exit_code(["quickstart", "--limit", "8"]) == 0
    first = capfd.readouterr()
    assert "[25/25] report" in first.err
    *table, page = first.out.splitlines()
    assert page == "reports/quickstart/index.html"
    assert "CE + SD-Dropout λ 0.1" in first.out
    assert "ODIN FPR95 ↓" in table[0]
    runs = [store.read_run(path) for path in store.run_paths(here / "reports/quickstart")]
    assert len(runs) == 20
    assert {run.evaluator for run in runs} == set(quickstart.EVALUATORS)
    assert {run.limit for run in runs} == {8}
    before = written(here)

    assert exit_code(["quickstart", "--limit", "8"]) == 0
    assert written(here) == before
    assert capfd.readouterr().out == first.out


def test_its_recipe_is_the_one_that_it_tells_of():
    assert quickstart.RECIPE.dataset == "digits"
    assert (quickstart.RECIPE.drop_rate, quickstart.RECIPE.temperature) == (0.5, 3.0)
    assert quickstart.WEIGHTS == (0.0, 0.1)
    assert len(quickstart.SEEDS) == 3
