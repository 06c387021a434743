"""Intervals are a setting of scoring; changing them does not read images again."""

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
from sdd_eval.evaluators.evaluator import Intervals, score
from sdd_eval.evaluators.ood.ood import Odin
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec
from sdd_eval.statistics.closed_form.share import wilson

SPEC = ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run of calibration without intervals; no image may be read again."""
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
        raise AssertionError("the images were read again")

    monkeypatch.setattr(Calibration, "collect", refuse)
    return request, tmp_path / "own", first.run


def test_an_old_run_gets_its_intervals_without_reading_images(finished):
    request, checkpoint, first = finished
    outcome = evaluate_checkpoint(checkpoint, request)
    assert outcome.scored
    assert not outcome.evaluated
    assert outcome.run.measurements == first.measurements
    assert not evaluate_checkpoint(checkpoint, request).scored


def test_changing_level_or_bins_scores_again(finished):
    request, checkpoint, first = finished
    wide = Calibration(bins=15, intervals=Intervals(level=0.5, resamples=300))
    run = evaluate_checkpoint(checkpoint, dataclasses.replace(request, evaluator=wide)).run
    measurements = {
        m.at["bins"]: m for m in run.measurements if m.metric == "ece" and len(m.at) == 1
    }
    (old,) = (m for m in first.measurements if m.metric == "ece" and len(m.at) == 1)
    assert measurements[10] != measurements[15]
    assert measurements[10].value == old.value
    assert measurements[15].level == 0.5
    assert run.settings["intervals"] == {"level": 0.5, "resamples": 300}


@pytest.mark.parametrize(
    ("flag", "wrong"), [("level", {"level": 1.0}), ("resamples", {"resamples": 0})]
)
def test_an_invalid_level_or_number_of_resamples_is_refused(flag, wrong):
    with pytest.raises(InputError, match=f"--{flag} is"):
        Intervals(**wrong)


def test_expensive_statistics_have_fewer_resamples():
    assert Intervals(resamples=1000).number(10_000) == 1000
    assert Intervals(resamples=1000).number(1e9) == 200
    assert Intervals(resamples=50).number(1e9) == 50


def test_a_share_of_images_has_wilsons_interval(finished):
    _, _, run = finished
    for row in (m for m in run.measurements if m.metric == "bin_accuracy"):
        (count,) = (m.value for m in run.measurements if m.metric == "bin_count" and m.at == row.at)
        assert (row.low, row.high) == tuple(map(float, wilson(row.value, count)))


def test_intervals_of_odin_are_narrower_with_more_images():
    random = np.random.default_rng(1)

    def widths(n):
        scores = {"scores": random.normal(1, 1, n), "scores_noise": random.normal(0, 1, n)}
        result = score(Odin(), scores)
        assert all(m.interval for m in result)
        return {m.metric: m.high - m.low for m in result}

    few, many = widths(100), widths(3000)
    assert all(many[metric] < few[metric] / 2 for metric in few)
