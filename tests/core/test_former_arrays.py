"""Runs whose arrays have names of earlier versions give their stored numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdd_eval import plugins
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.evaluators.settings import from_stored
from sdd_eval.former_arrays import structured
from sdd_eval.store import StoredArrays, read_run, write_arrays

RUNS = sorted(Path(__file__).parents[1].glob("fixtures/format_1/reports/*/runs/*/*.npz"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_stored_arrays_give_the_stored_numbers(path, tmp_path):
    run = read_run(path.with_suffix(".json"))
    evaluator = from_stored(plugins.load("evaluators", run.evaluator), run.settings)
    stored = {(m.metric, repr(sorted(m.at.items()))): m.value for m in run.measurements}
    for arrays in (run.arrays, again(run.arrays, tmp_path)):
        numbers = {
            (m.metric, repr(sorted(m.at.items()))): m.value for m in score(evaluator, arrays)
        }
        assert {key: numbers[key] for key in stored if key in numbers} == pytest.approx(stored)


def again(arrays, folder):
    """Write arrays as this version does, and read them."""
    write_arrays(folder / "again.npz", arrays)
    return StoredArrays(folder / "again.npz")


def test_the_names_of_ood_are_unescaped():
    former = {
        "my%2Emsp": np.ones(3),
        "my%2Emsp:%2E%2E%2Ffar": np.zeros(2),
        "my%2Emsp.kept%3Aof": np.full(3, 7),
        "held_out": np.ones((4, 5)),
    }
    arrays = structured("ood", former)
    own = arrays.where(detector="my.msp")
    assert own["scores"].tolist() == [1, 1, 1]
    assert own.along("scores", "outliers").keys() == {"../far"}
    assert arrays.facts["counts"] == {"my.msp": {"kept:of": 7}}
    assert arrays["validation_scores"].shape == (4, 5)


def test_former_names_of_scores_of_odin_and_ood_are_read():
    random = np.random.default_rng(0)
    scores = {"": random.normal(1, 1, 40), "a_b": random.normal(0, 1, 30)}
    grids = {name: random.random((len(item), 20)) for name, item in scores.items()}
    odin = {f"scores{name and '_' + name}": item for name, item in scores.items()}
    odin |= {f"grid{name and '_' + name}": item for name, item in grids.items()}
    ood = {f"odin{name and ':' + name}": item for name, item in scores.items()}
    ood |= {f"odin_grid{name and ':' + name}": item for name, item in grids.items()}
    measured = score(Odin(grid=True), structured("odin", odin))
    assert measured == score(Ood(("odin",), grid=True), structured("ood", ood))
    assert {m.at["outliers"] for m in measured} == {"a_b", "average"}


def test_names_of_third_party_evaluators_are_unchanged():
    former = {"scores_in_fog": np.ones(2), "temperature": np.ones(2)}
    assert list(structured("certainty", former)) == ["scores_in_fog", "temperature"]
    assert not structured("certainty", former).facts
