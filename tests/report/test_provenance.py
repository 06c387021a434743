"""Environment and numerical settings on the page."""

from types import SimpleNamespace

import numpy as np

from sdd_eval import records
from sdd_eval.metrics.formatting import format_setting
from sdd_eval.provenance import RunProvenance
from sdd_eval.report.tables.provenance import checkpoints, environment


def run(**provenance):
    return SimpleNamespace(run=SimpleNamespace(provenance=RunProvenance.of(provenance)))


def test_the_environment_lists_all_values_if_runs_differ():
    values = dict(
        environment(
            [
                run(tf32=False, folding={"folded": 20, "batch_norms": 20}, device="cpu"),
                run(tf32=True, folding={"folded": 0, "batch_norms": 20}, device="cpu"),
                run(device="cpu"),  # of another version
            ]
        )
    )
    assert values["batch norms folded"] == "20 of 20, 0 of 20"
    assert values["device"] == "cpu"
    assert values["tf32"] == "no, yes, —"


def test_settings_are_formatted_also_if_they_are_numpy_arrays() -> None:
    assert format_setting(np.array([0.25, 1.0])) == "0.25, 1"
    assert format_setting(np.array([])) == "—"
    assert format_setting({"mean": np.float64(0.5)}) == "mean 0.5"


def test_a_recipe_is_listed_without_the_options_that_change_nothing():
    recipe = records.encode(records.Recipe(schedule="cosine", lr=0.2))
    entry = run(card=recipe)
    entry.name, entry.study = "a", "s"
    entry.run.checkpoint, entry.run.weights_sha256 = "net", "0" * 64
    (row,) = checkpoints([entry], {"a": "CE"})
    facts = dict(row.recipe)
    assert facts["schedule"] == "cosine"
    assert facts["lr"] == "0.2"
    assert "mixup" not in facts
    assert "weight decay" in facts
