"""Accuracy follows from the logits of other evaluators, in comparisons and in reports."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pandas
import pytest

from sdd_eval.arrays import Arrays
from sdd_eval.comparison.compare import compare
from sdd_eval.comparison.matching import load_runs
from sdd_eval.evaluation.derived import derived_runs
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.evaluator import score
from sdd_eval.records import Run, encode
from sdd_eval.report.runs import read_runs
from sdd_eval.report.write import write_report

LABELS = np.arange(200) % 10


@pytest.fixture
def made(synthetic: ModuleType) -> Any:
    """Return a function that makes the run of an evaluator on 200 random logits."""

    def run(seed: int, evaluator: Any, **fields: Any) -> Run:
        logits = np.random.default_rng(seed).normal(size=(200, 10)).astype(np.float32)
        logits[np.arange(200), LABELS] += 1
        arrays = Arrays.of({"logits": logits, "labels": LABELS})
        created = fields.pop("created", "2026-01-02T03:04:05+00:00")
        one = synthetic.run_of(
            synthetic.network(0.0, seed), evaluator.name, [], arrays=arrays, n=200, created=created
        )
        return dataclasses.replace(
            one,
            evaluator_version=evaluator.version,
            settings=encode(evaluator),
            measurements=score(evaluator, arrays),
            **fields,
        )

    return run


def test_accuracy_that_is_derived_equals_accuracy_that_is_measured(made: Any) -> None:
    calibration, accuracy = made(1, Calibration()), made(1, Accuracy())
    ((source, derived),) = derived_runs([calibration])
    assert source == 0
    assert derived.measurements == accuracy.measurements
    assert (derived.evaluator, derived.settings) == ("accuracy", accuracy.settings)
    assert derived.provenance.derived_from == "calibration"
    assert derived.provenance.seconds is None, "its time is that of the calibration"
    assert not [*derived_runs([calibration, accuracy])], "what is measured is not derived"


def test_accuracy_is_derived_for_other_weights_or_images_than_the_measured_ones(made: Any) -> None:
    accuracy = made(1, Accuracy())
    for change in ({"weights_sha256": "0" * 64}, {"data_fingerprint": "0" * 64}):
        changed = made(1, Calibration(), **change)
        assert [run.provenance.derived_from for _, run in derived_runs([accuracy, changed])]


def test_a_subset_is_not_used_where_all_images_were_evaluated(made: Any) -> None:
    subset = made(1, Calibration(), limit=200)
    whole, old = made(1, Calibration()), made(1, Calibration(), created="2020-01-01T00:00:00")
    assert [index for index, _ in derived_runs([subset, old, whole])] == [2], "all, and the newest"
    assert not [*derived_runs([subset, made(1, Accuracy())])]
    ((_, derived),) = derived_runs([subset])
    assert derived.limit == 200
    assert not [*derived_runs([subset, made(1, Accuracy(), limit=201)])], (
        "more images were measured"
    )
    assert [*derived_runs([subset, made(1, Accuracy(), limit=199)])]


def test_runs_without_logits_give_no_accuracy(made: Any) -> None:
    run = made(1, Calibration())
    assert not [*derived_runs([dataclasses.replace(run, arrays=Arrays())])]
    without = Arrays.of({"logits": run.arrays["logits"][:50], "labels": LABELS})
    assert not [*derived_runs([dataclasses.replace(run, arrays=without)])]
    assert not [*derived_runs([dataclasses.replace(run, evaluator="history")])]


def test_networks_are_compared_by_accuracy_that_one_side_or_both_derive(
    synthetic: ModuleType, made: Any, tmp_path: Path
) -> None:
    runs = [made(1, Calibration()), made(2, Calibration()), made(3, Accuracy())]
    study = synthetic.write_study(tmp_path / "study", runs)
    one, two, three = (run.checkpoint for run in runs)
    assert [stored.run.evaluator for stored in load_runs(study, one)] == ["calibration", "accuracy"]
    flags = [run.arrays["logits"].argmax(axis=1) == LABELS for run in runs]
    for other, right in ((two, flags[1]), (three, flags[2])):
        # the seeds of one recipe are compared network by network
        (pair,) = compare(study, [one, other]).pairs
        (row,) = (row for row in pair.rows if row.metric == "accuracy")
        assert row.difference == pytest.approx(right.mean() - flags[0].mean())
        assert row.p is not None
        assert row.test.startswith("McNemar")


@pytest.mark.usefixtures("only_svg")
def test_the_report_shows_derived_accuracy_and_says_that_it_is_derived(
    synthetic: ModuleType, made: Any, tmp_path: Path
) -> None:
    run = made(1, Calibration())
    study = synthetic.write_study(tmp_path / "study", [run])
    page = write_report(study, figures=False).read_text()
    assert '<h3><a href="#chapter-accuracy">Accuracy</a></h3>' in page
    assert "(derived from the logits of calibration)" in page
    table = pandas.read_csv(study / "results.csv")
    (name,) = table[table["evaluator"] == "accuracy"]["run"].unique()
    assert name.endswith(".json#accuracy")
    entries = read_runs([study]).runs
    assert [entry.run.evaluator for entry in entries] == ["calibration", "accuracy"]
    assert entries[0].name in name
    files = [path.name for path in (study / "runs" / run.checkpoint).iterdir()]
    assert {name.split("-")[0] for name in files} == {"calibration"}, "it is not stored"


def test_two_studies_of_one_network_each_derive_their_own(
    synthetic: ModuleType, made: Any, tmp_path: Path
) -> None:
    run = made(1, Calibration())
    folders = [synthetic.write_study(tmp_path / name, [run]) for name in ("a", "b")]
    names = [e.name for e in read_runs(folders).runs if e.run.evaluator == "accuracy"]
    assert [name.split("/")[0] for name in names] == ["a", "b"]


def test_a_plugin_whose_logits_are_others_is_not_used(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(1, Calibration())
    assert [*derived_runs([run])]
    monkeypatch.setattr(Calibration, "stores_logits", False)
    assert not [*derived_runs([run])]


def test_the_derived_run_keeps_its_warnings(made: Any) -> None:
    run = made(1, Calibration())
    warned = msgspec.structs.replace(run.provenance, warnings=["classes differ"])
    ((_, derived),) = derived_runs([dataclasses.replace(run, provenance=warned)])
    assert derived.provenance.warnings == ["classes differ"]
