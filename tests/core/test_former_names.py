"""Former names of metrics, axes and settings are read."""

import dataclasses
import json

import pytest

from sdd_eval.former_names import (
    FORMER_NAMES,
    current_settings,
    key_settings,
    renamed_metric,
    renamed_selector,
)
from sdd_eval.plugins import load
from sdd_eval.records import Measurement, Run, encode
from sdd_eval.store import read_run, write_run


def stored(tmp_path, evaluator, measurement, settings):
    """Return a run as read from a file with the given names."""
    path = tmp_path / "run.json"
    run = Run("c", "w", "digits", "f", evaluator, 1, settings, None, 1, (measurement,))
    write_run(path, run)
    assert json.loads(path.read_text())["measurements"] == encode(run)["measurements"]
    return read_run(path)


@pytest.mark.parametrize(
    ("evaluator", "former", "present"),
    [
        ("fgsm", ("fgsm_accuracy", {"reading": "pixel"}), ("fgsm_accuracy", {"variant": "pixel"})),
        ("calibration", ("ece_calibrated", {"bins": 10}), ("ece_floor", {"bins": 10})),
        ("attack", ("audit_both_right", {}), ("n_both_correct", {})),
        ("selective", ("aurc", {"detector": "msp"}), ("aurc", {"score": "msp"})),
        ("mask_variance", ("mask_variance", {"drop": 0.3}), ("mask_variance", {"drop_rate": 0.3})),
        ("ood", ("auroc", {"detector": "msp"}), ("auroc", {"detector": "msp"})),
        ("another", ("ece_calibrated", {"reading": 1}), ("ece_calibrated", {"reading": 1})),
    ],
)
def test_a_stored_run_is_read_under_the_present_names(tmp_path, evaluator, former, present):
    (metric, at), (new_metric, new_at) = former, present
    run = stored(tmp_path, evaluator, Measurement(metric, 0.5, "fraction", at), {"bins": 3})
    assert run.measurements == (Measurement(new_metric, 0.5, "fraction", new_at),)
    assert run.settings == {"bins": 3}


def test_a_stored_setting_is_read_under_its_present_name(tmp_path):
    number = Measurement("fgsm_accuracy", 0.5, "fraction", {"variant": "pixel"})
    former = {"held_out": "none", "readings": ["pixel"], "epsilon": 0.1}
    run = stored(tmp_path, "fgsm", number, former)
    assert run.settings == {"validation_set": "none", "variants": ["pixel"], "epsilon": 0.1}
    assert key_settings("fgsm", run.settings) == former


@pytest.mark.parametrize("evaluator", FORMER_NAMES)
def test_present_settings_exist_and_former_ones_do_not(evaluator):
    fields = {field.name for field in dataclasses.fields(load("evaluators", evaluator))}
    settings = FORMER_NAMES[evaluator].settings
    assert fields >= set(settings.values())
    assert not fields & set(settings)


@pytest.mark.parametrize(
    ("former", "present", "value"),
    [("held_out", "validation_set", "none"), ("readings", "variants", ["pixel"])],
)
def test_a_former_setting_is_accepted_with_a_warning(former, present, value):
    with pytest.warns(DeprecationWarning, match=f"{former} of fgsm is now called {present}"):
        assert current_settings("fgsm", {former: value}) == {present: value}


def test_a_former_metric_is_accepted_with_a_warning():
    with pytest.warns(DeprecationWarning, match="ece_calibrated is now called ece_floor"):
        assert renamed_metric("ece_calibrated") == "ece_floor"
    with pytest.warns(DeprecationWarning, match="is now called calibration.ece_floor"):
        assert renamed_selector("calibration.ece_calibrated") == "calibration.ece_floor"


def test_a_present_metric_gives_no_warning():
    assert renamed_metric("ece_floor") == "ece_floor"
    assert renamed_selector("another.ece_calibrated") == "another.ece_calibrated"
