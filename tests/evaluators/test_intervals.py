"""Intervals are a setting of scoring: another one never looks at an image again."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from sdd_eval import store
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.evaluators.ood.odin import Odin
from sdd_eval.evaluators.ood.ranking import detector_metrics
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec
from sdd_eval.statistics.closed_form.share import wilson

SPEC = ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A finished run of calibration as it was before there were intervals; nothing looks again."""
    torch.manual_seed(0)
    weights = write_weights(tmp_path / "own", build(SPEC))
    card = Card("own", SPEC, None, {}, weights, {"dataset": "digits"})
    store.write_record(tmp_path / "own" / "card.json", card)
    request = Request(Calibration(), tmp_path / "study", tmp_path, limit=60)
    first = evaluate_checkpoint(tmp_path / "own", request)
    settings = {k: v for k, v in first.run.settings.items() if k != "intervals"}
    bare = {"low": None, "high": None, "level": None, "interval": ""}
    without = tuple(msgspec.structs.replace(m, **bare) for m in first.run.measurements)
    old = dataclasses.replace(first.run, settings=settings, measurements=without)
    store.write_record(first.path, old)

    def refuse(*_):
        raise AssertionError("it looked again")

    monkeypatch.setattr(Calibration, "collect", refuse)
    return request, tmp_path / "own", first.run


def test_an_old_run_gets_its_intervals_without_a_look_at_the_images(asked):
    request, checkpoint, first = asked
    outcome = evaluate_checkpoint(checkpoint, request)
    assert outcome.scored
    assert not outcome.evaluated
    assert outcome.run.measurements == first.measurements
    assert not evaluate_checkpoint(checkpoint, request).scored


def test_another_level_and_other_bins_are_another_score(asked):
    request, checkpoint, first = asked
    wide = Calibration(bins=15, intervals=Intervals(level=0.5, resamples=300))
    run = evaluate_checkpoint(checkpoint, dataclasses.replace(request, evaluator=wide)).run
    found = {m.at["bins"]: m for m in run.measurements if m.metric == "ece" and len(m.at) == 1}
    (old,) = (m for m in first.measurements if m.metric == "ece" and len(m.at) == 1)
    assert found[10] != found[15]
    assert found[10].value == old.value
    assert found[15].level == 0.5
    assert run.settings["intervals"] == {"level": 0.5, "resamples": 300}


@pytest.mark.parametrize(
    ("flag", "wrong"), [("level", {"level": 1.0}), ("resamples", {"resamples": 0})]
)
def test_what_is_no_level_or_number_of_resamples_is_refused(flag, wrong):
    with pytest.raises(InputError, match=f"--{flag} is"):
        Intervals(**wrong)


def test_where_a_resample_costs_much_there_are_fewer_and_the_row_says_how_many():
    assert Intervals(resamples=1000).number(10_000) == 1000
    assert Intervals(resamples=1000).number(1e9) == 200
    assert Intervals(resamples=50).number(1e9) == 50


def test_a_share_of_images_has_wilsons_interval(asked):
    _, _, run = asked
    for row in (m for m in run.measurements if m.metric == "bin_accuracy"):
        (count,) = (m.value for m in run.measurements if m.metric == "bin_count" and m.at == row.at)
        assert (row.low, row.high) == tuple(map(float, wilson(row.value, count)))


def test_an_average_over_outlier_sets_shares_the_resamples_of_the_test_set():
    """Two sets of one score each: all that varies is the test set, and it moves both alike."""
    random = np.random.default_rng(0)
    inside = random.normal(0, 1, 200)
    outside = {"one": np.full(50, -0.2), "other": np.full(80, 0.2)}
    told = detector_metrics(
        inside, outside, dict.fromkeys(outside, 0), ["auroc"], Intervals(resamples=400)
    )
    alone = [told.resampled("auroc", [name]) for name in outside]
    assert np.corrcoef(*alone)[0, 1] > 0.7
    both = told.resampled("auroc", ["one", "other"])
    assert both == pytest.approx((alone[0] + alone[1]) / 2)
    assert both.std() > 1.2 * np.hypot(alone[0].std(), alone[1].std()) / 2


def test_every_number_of_odin_has_an_interval_that_is_tighter_with_more_images():
    random = np.random.default_rng(1)

    def widths(n):
        scores = {"scores": random.normal(1, 1, n), "scores_noise": random.normal(0, 1, n)}
        found = Odin(intervals=Intervals(resamples=200)).score(scores)
        assert all(m.interval for m in found)
        return {m.metric: m.high - m.low for m in found}

    few, many = widths(100), widths(3000)
    assert all(many[metric] < few[metric] / 2 for metric in few)
