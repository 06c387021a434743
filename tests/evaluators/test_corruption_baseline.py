"""Corruption errors relative to a baseline: closed forms, and the baseline's stored runs."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sdd_eval import store
from sdd_eval.arrays import Array, Arrays
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate, evaluate_checkpoint
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.metrics.corruption import FIFTEEN, corruption_errors
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec

N = 200
SPEC = ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8)


def arrays(errors, clean=0.1, corruptions=FIFTEEN, seed=0, frost="official", **others):
    """Arrays of a network with these errors (5 severities) in every corruption; exact shares."""
    random = np.random.default_rng(seed)

    def right(error):
        return random.permutation(N) >= round(error * N)

    arrays = [Array("correct", right(clean)), Array("confidence", np.full(N, 0.9, "f4"))]
    for name in corruptions:
        correct = np.stack([right(error) for error in others.get(name, errors)], axis=1)
        confidence = np.full((N, 5), 0.9, dtype=np.float32)
        for kind, values in (("correct", correct), ("confidence", confidence)):
            axes, at = ("images", "severity"), {"corruption": name}
            arrays.append(Array(kind, values, axes, at))
    return Arrays(arrays, frost=frost, origin="official")


def scored(own, **baseline):
    evaluator = Corruption("c", baseline=tuple(baseline))
    result = evaluator.score(own.against(baseline))
    return [item for item in result if "baseline" in item.at]


def one(measurements, metric, **at):
    (row,) = [
        m for m in measurements if m.metric == metric and m.at.get("corruption") == at.get("c")
    ]
    return row


OWN = arrays((0.2, 0.2, 0.3, 0.4, 0.4))
BASE = arrays((0.2, 0.4, 0.5, 0.6, 0.8), clean=0.2, seed=1)


def test_the_error_of_a_corruption_is_a_ratio_of_sums_in_percent():
    measurements = scored(OWN, base=BASE)
    assert len([m for m in measurements if m.metric == "corruption_error"]) == 15
    fog = one(measurements, "corruption_error", c="fog")
    assert fog.value == pytest.approx(100 * 1.5 / 2.5)
    mean_of_ratios = 100 * np.mean([0.2 / 0.2, 0.2 / 0.4, 0.3 / 0.5, 0.4 / 0.6, 0.4 / 0.8])
    assert abs(fog.value - mean_of_ratios) > 1
    relative = one(measurements, "relative_corruption_error", c="fog")
    assert relative.value == pytest.approx(100 * (1.5 - 0.5) / (2.5 - 1.0))


def test_means_are_over_the_fifteen_corruptions_and_state_baseline_and_unit():
    varied = arrays((0.2, 0.2, 0.3, 0.4, 0.4), snow=(1.0,) * 5)
    measurements = scored(varied, base=BASE)
    mean = one(measurements, "mean_corruption_error")
    assert mean.value == pytest.approx((14 * 60 + 100 * 5 / 2.5) / 15)
    assert dict(mean.at) == {"baseline": "base"}
    relative = one(measurements, "relative_mean_corruption_error")
    assert relative.value == pytest.approx(100 * (14 * 1.0 + 4.5) / 1.5 / 15)
    for row in measurements:
        assert row.unit == "percent of baseline"
        assert "baseline base;" in row.protocol.text
        assert "same network, new images" in row.interval
        assert row.low < row.value < row.high
        assert row.level == 0.95


def test_errors_of_several_networks_of_a_baseline_are_averaged_not_their_ratios():
    two = arrays((0.4,) * 5, clean=0.2, seed=2), arrays((0.8,) * 5, clean=0.1, seed=3)
    measurements = scored(OWN, first=two[0], second=two[1])
    fog = one(measurements, "corruption_error", c="fog")
    assert fog.value == pytest.approx(100 * 0.3 / 0.6)
    assert fog.at["baseline"] == "first + second"
    assert "(mean over 2 networks: first, second)" in fog.protocol.text
    relative = one(measurements, "relative_corruption_error", c="fog")
    assert relative.value == pytest.approx(100 * 0.2 / 0.45)


def test_both_networks_are_resampled_together():
    """A network relative to itself has no error; resampled independently it would have."""
    for row in scored(OWN, itself=OWN):
        assert row.value == pytest.approx(100)
        assert row.low == pytest.approx(100)
        assert row.high == pytest.approx(100)


def test_the_relative_error_is_omitted_if_the_baseline_loses_hardly_any_accuracy():
    base = arrays((0.2, 0.4, 0.5, 0.6, 0.8), clean=0.1, seed=1, fog=(0.105,) * 5)
    measurements = scored(OWN, base=base)
    metrics = [(m.metric, m.at.get("corruption")) for m in measurements]
    assert ("relative_corruption_error", "fog") not in metrics
    assert ("relative_corruption_error", "snow") in metrics
    assert ("relative_mean_corruption_error", None) not in metrics
    assert ("mean_corruption_error", None) in metrics
    lost = one(measurements, "missing", c="fog")
    assert lost.at["of"] == "relative_corruption_error"
    assert "missing where the baseline's is below 0.01 per severity" in lost.protocol.text


def test_a_baseline_without_errors_gives_no_ratio():
    perfect = arrays((0.0,) * 5, clean=0.0)
    metrics = {m.metric for m in scored(OWN, base=perfect)}
    assert metrics == {"missing"}


def test_an_incomplete_set_has_no_mean_and_synthetic_frost_has_a_separate_one():
    measurements = scored(arrays((0.3,) * 5, corruptions=FIFTEEN[1:]), base=BASE)
    assert {m.metric for m in measurements} == {"corruption_error", "relative_corruption_error"}
    frosty = arrays((0.3,) * 5, frost="synthetic")
    names = {m.metric for m in scored(frosty, base=BASE) if "mean" in m.metric}
    assert names == {
        "mean_corruption_error_synthetic_frost",
        "relative_mean_corruption_error_synthetic_frost",
    }


def test_the_metrics_take_any_number_of_leading_axes():
    random = np.random.default_rng(0)
    own, base = random.random((2, 7, 16))
    own[:, 0] /= 9
    base[:, 0] /= 9
    whole = corruption_errors(own, base)
    for row in range(7):
        np.testing.assert_allclose(whole[0, row], 100 * own[row, 1:] / base[row, 1:])
        np.testing.assert_array_equal(whole[:, row], corruption_errors(own[row], base[row]))


@pytest.fixture
def prepared(tmp_path):
    """A request for mCE of a few digits against `base`, and the folder of both checkpoints."""
    for seed, name in enumerate(("own", "base")):
        torch.manual_seed(seed)
        weights = write_weights(tmp_path / name, build(SPEC))
        card = Card(name, SPEC, None, {}, weights, {"dataset": "digits"})
        store.write_record(tmp_path / name / "card.json", card)
    evaluator = Corruption(baseline=("base",))
    return Request(evaluator, tmp_path / "study", tmp_path, limit=30), tmp_path


def test_the_run_of_the_baseline_is_computed_once_and_reused(prepared, monkeypatch):
    request, folder = prepared
    first = evaluate_checkpoint(folder / "own", request)
    assert first.evaluated
    (base,) = (request.study / "runs" / "base").glob("corruption-*.json")
    assert store.read_run(base).settings["baseline"] == []
    errors = {m.at["corruption"]: m.value for m in first.run.measurements
              if m.metric == "corruption_error"}  # fmt: skip
    theirs, ours = store.read_run(base).arrays, first.run.arrays
    wrong = [(~side.where(corruption="fog")["correct"]).sum() for side in (ours, theirs)]
    expected = 100 * wrong[0] / wrong[1]
    assert errors["fog"] == pytest.approx(expected)
    assert not ours.compared

    def refuse(*_):
        raise AssertionError("the images were read again")

    monkeypatch.setattr(Corruption, "collect", refuse)
    again = evaluate_checkpoint(folder / "own", request)
    assert not again.evaluated
    assert not again.scored
    assert again.run == first.run
    plain = dataclasses.replace(request, evaluator=Corruption())
    assert not evaluate_checkpoint(folder / "own", plain).evaluated
    both = dataclasses.replace(request, evaluator=Corruption(baseline=("base", "own")))
    against_both = evaluate_checkpoint(folder / "own", both)
    assert against_both.scored
    assert not against_both.evaluated
    named = {m.at["baseline"] for m in against_both.run.measurements if "baseline" in m.at}
    assert named == {"base", "base + own"}


def test_a_changed_baseline_of_the_same_name_changes_the_scores(prepared):
    request, folder = prepared
    first = evaluate_checkpoint(folder / "own", request)
    card = folder / "base" / "card.json"
    content = json.loads(card.read_text())
    content["model"]["mean"] = [0.9]  # the same weights, another network
    card.write_text(json.dumps(content))
    second = evaluate_checkpoint(folder / "own", request)
    assert second.scored
    assert not second.evaluated
    run = second.run
    assert [m for m in run.measurements if m.metric == "corruption_error"]
    fresh = dataclasses.replace(request, study=folder / "fresh")
    assert run.measurements == evaluate_checkpoint(folder / "own", fresh).run.measurements
    assert run.measurements != first.run.measurements
    assert not evaluate_checkpoint(folder / "own", request).scored


def test_a_missing_or_repeated_baseline_is_refused(prepared):
    request, folder = prepared
    for names, output in (
        (("nobody",), "unknown checkpoint 'nobody'"),
        (("base", str(folder / "base")), "named twice: base, base"),
    ):
        wrong = dataclasses.replace(request, evaluator=Corruption(baseline=names))
        with pytest.raises(InputError, match=output):
            evaluate_checkpoint(folder / "own", wrong)


def test_the_flag_baseline_selects_the_baseline(prepared, capsys):
    _, folder = prepared
    where = ["--checkpoints", str(folder), "--reports", str(folder), "--data-root", str(folder)]
    command = ["corruption", "own", "base", "--limit", "30", "--baseline", "base", *where]
    assert exit_code(command) == 0
    out = capsys.readouterr().out
    rows = map(str.split, out.splitlines())
    own, itself = (row for row in rows if row[:1] == ["mean_corruption_error_synthetic_frost"])
    assert own[1] == itself[1] == "base"
    assert own[-3:] != ["100.0", "to", "100.0"]
    assert itself[2] == "100.0"  # base against itself


def test_a_module_in_memory_is_scored_against_a_checkpoint_on_disk(prepared):
    from sdd_eval.checkpoints.checkpoint import load

    request, folder = prepared
    on_disk = evaluate_checkpoint(folder / "own", request).run
    evaluator = Corruption(baseline=(str(folder / "base"),))
    run = evaluate(load(folder / "own"), evaluator, data="digits", limit=30, root=folder)
    assert run.measurements == on_disk.measurements
