"""Calibration errors before and after temperature scaling, and their intervals."""

import numpy as np
import pytest
from scipy.special import softmax

from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.metrics.adaptive_ece import adaptive_ece
from sdd_eval.metrics.calibrated_floor import ece_floor
from sdd_eval.metrics.calibration import (
    bin_sums,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece,
    mce_of_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll
from sdd_eval.metrics.classwise_ece import classwise_ece
from sdd_eval.metrics.smooth_ece import smooth_ece
from sdd_eval.metrics.temperature import cross_fit, fit_temperature

SCALED = {"temperature": "cross-fitted"}
#: Few resamples, for tests of anything but intervals.
FEW = Intervals(resamples=20)


@pytest.fixture(scope="module")
def arrays():
    """An over-confident network: calibrated logits times three."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (3000, 6))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < random.random((3000, 1))).sum(axis=1)
    return {"logits": (3 * logits).astype(np.float32), "labels": labels}


@pytest.fixture(scope="module")
def measured(arrays):
    """The measurements of the network, with the default settings."""
    return Calibration().score(arrays)


def expected(logits, labels, bins):
    sure = confidence_and_correct(logits, labels)
    sums = bin_sums(*sure, bins)
    return {
        "ece": ece(*sure, bins),
        "mce": mce_of_bins(sums),
        "ece_debiased": debiased_ece_of_bins(sums),
        "ece_debiased_l2": debiased_l2_of_bins(sums),
        "ece_adaptive": adaptive_ece(*sure, bins),
        "ece_classwise": classwise_ece(logits, labels, bins),
        "ece_floor": ece_floor(sure[0], bins).mean,
        "ece_smooth": smooth_ece(*sure),
        "nll": nll(logits, labels),
        "brier": brier_per_image(logits, labels).mean(),
    }


def test_every_error_is_measured_before_and_after_scaling(arrays):
    evaluator = Calibration(bins=12, intervals=FEW)
    values = {(m.metric, repr(m.at)): m.value for m in evaluator.score(arrays)}
    scaled, _ = cross_fit(arrays["logits"], arrays["labels"])
    for logits, at in ((arrays["logits"], {}), (scaled, SCALED)):
        for metric, value in expected(logits, arrays["labels"], 12).items():
            folder = at if metric in ("ece_smooth", "nll", "brier") else {**at, "bins": 12}
            assert values[metric, repr(folder)] == value


def test_scaling_calibrates_an_over_confident_network(measured, value_of):
    plain = [item for item in measured if "temperature" not in item.at]
    scaled = [item for item in measured if item.at.get("temperature") == "cross-fitted"]
    for metric in ("ece", "ece_smooth", "ece_classwise", "nll", "brier"):
        assert value_of(scaled, metric) < value_of(plain, metric)
    (chance,) = [item for item in scaled if item.metric == "ece_floor"]
    assert chance.low < value_of(scaled, "ece") < chance.high
    assert value_of(plain, "ece") > 5 * chance.high
    assert chance.low < chance.value < chance.high
    assert chance.level == 0.95


def test_no_image_is_scaled_by_a_temperature_fitted_on_it(arrays):
    logits, labels = arrays["logits"], arrays["labels"]
    scaled, (first, second) = cross_fit(logits, labels)
    used = (logits / scaled).mean(axis=1)
    in_second = np.isclose(used, first.value)
    assert np.isclose(used[~in_second], second.value).all()
    assert in_second.sum() == 1500
    assert fit_temperature(logits[~in_second], labels[~in_second]) == first
    assert fit_temperature(logits[in_second], labels[in_second]) == second
    assert first.value != second.value


def test_fitted_temperatures_are_reported_and_marked_at_the_bounds_of_the_range(
    arrays, measured, value_of
):
    _, (first, second) = cross_fit(arrays["logits"], arrays["labels"])
    assert value_of(measured, "temperature_fitted", half="first") == first.value
    assert value_of(measured, "temperature_fitted", half="second") == second.value
    texts = [text for item in measured for text in item.fitted.values()]
    assert texts
    assert not any("a bound of the range" in text for text in texts)
    sure = {"logits": np.tile(np.float32([[9, 0]]), (8, 1)), "labels": np.zeros(8, int)}
    for item in Calibration(intervals=FEW).score(sure):
        of_scaling = "temperature" in item.at or item.metric == "temperature_fitted"
        if of_scaling:
            assert set(item.fitted.values()) == {"0.05, a bound of the range"}
        else:
            assert not item.fitted


def test_seeds_with_different_temperatures_share_a_protocol(arrays):
    other = {**arrays, "logits": arrays["logits"] * 1.7}
    one, two = (Calibration(intervals=FEW).score(item) for item in (arrays, other))
    assert [m.protocol.id for m in one] == [m.protocol.id for m in two]
    assert [m.fitted for m in one] != [m.fitted for m in two]


def test_a_bin_has_the_consistency_interval_of_a_calibrated_model(arrays, measured):
    rows = [m for m in measured if m.metric == "bin_accuracy_calibrated"]
    sure, _ = confidence_and_correct(arrays["logits"], arrays["labels"])
    chance = ece_floor(sure, 10)
    filled = ~np.isnan(chance.bin_low)
    assert [m.low for m in rows] == chance.bin_low[filled].tolist()
    assert [m.high for m in rows] == chance.bin_high[filled].tolist()
    assert all(m.low <= m.value <= m.high for m in rows)


def test_a_single_image_is_measured_without_scaling():
    scored = Calibration().score({"logits": np.float32([[2, 1]]), "labels": np.array([0])})
    assert {"ece", "ece_smooth", "brier"} <= {item.metric for item in scored}
    assert not any("temperature" in item.at for item in scored)


def test_one_class_in_the_labels_and_huge_logits_are_scored():
    logits = 1e4 * np.random.default_rng(0).choice([-1, 1], (40, 3)).astype(np.float32)
    evaluator = Calibration(intervals=FEW)
    for item in evaluator.score({"logits": logits, "labels": np.zeros(40, int)}):
        assert np.isfinite(item.value)


def test_the_interval_of_a_fitted_temperature_is_narrower_for_more_images(arrays, measured):
    def width(measurements):
        rows = [m for m in measurements if m.metric == "temperature_fitted"]
        assert all(m.low < m.value < m.high and "new images" in m.interval for m in rows)
        return np.mean([m.high - m.low for m in rows])

    part = {name: values[:300] for name, values in arrays.items()}
    fewer = Calibration(intervals=FEW).score(part)  # a temperature's interval is not resampled
    assert width(measured) == pytest.approx(width(fewer) / np.sqrt(10), rel=0.25)
    sure = {"logits": np.tile(np.float32([[9, 0]]), (8, 1)), "labels": np.zeros(8, int)}
    scored = Calibration(intervals=FEW).score(sure)
    at_bound = [m for m in scored if m.metric == "temperature_fitted"]
    assert [m.low for m in at_bound] == [None, None]


def test_the_error_of_a_temperature_equals_its_spread_over_resamples(arrays):
    random, logits, labels = (
        np.random.default_rng(0),
        arrays["logits"][:400],
        arrays["labels"][:400],
    )
    drawn = [random.integers(400, size=400) for _ in range(200)]
    again = [np.log(fit_temperature(logits[rows], labels[rows]).value) for rows in drawn]
    assert fit_temperature(logits, labels).error == pytest.approx(np.std(again), rel=0.15)


def test_the_mean_confidence_of_a_bin_with_enough_images_has_an_interval(measured):
    count = {m.at["bin"]: m.value for m in measured if m.metric == "bin_count"}
    sure = [m for m in measured if m.metric == "bin_confidence"]
    enough = [m for m in sure if count[m.at["bin"]] >= 20]
    assert 1 < len(enough) < len(sure)
    for m in enough:
        assert (m.at["bin"] - 1) / 10 <= m.low < m.value < m.high <= m.at["bin"] / 10
        assert m.high - m.low < 0.1 * 4 / np.sqrt(12 * count[m.at["bin"]]) * 1.5
    assert all(m.low is None for m in sure if m not in enough)


def test_a_number_without_an_interval_method_has_a_reason(arrays):
    result = [m for m in Calibration().score(arrays) if m.unit != "images"]
    without = [m for m in result if m.low is None]
    assert {m.metric for m in without} == {"mce", "ece_smooth", "bin_confidence"}
    assert all(m.interval.startswith("none: ") for m in without)
    assert all(
        "no bootstrap covers a maximum" in m.protocol.text for m in result if m.metric == "mce"
    )
