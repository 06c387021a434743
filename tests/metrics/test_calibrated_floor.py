"""The calibration error of a calibrated model by chance."""

import numpy as np
import pytest

from sdd_eval.metrics.calibrated_floor import ece_floor
from sdd_eval.metrics.calibration import bin_sums, ece


@pytest.fixture(scope="module")
def confidence():
    return np.random.default_rng(0).beta(6, 1.5, 1500)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_floor_equals_the_error_of_simulated_labels(confidence, bins):
    random = np.random.default_rng(1)
    errors = [ece(confidence, random.random(1500) < confidence, bins) for _ in range(3000)]
    result = ece_floor(confidence, bins, draws=20_000)
    assert result.mean == pytest.approx(np.mean(errors), rel=0.04)
    assert result.low == pytest.approx(np.quantile(errors, 0.025), abs=0.0012)
    assert result.high == pytest.approx(np.quantile(errors, 0.975), rel=0.05)


def test_the_band_of_a_bin_contains_95_percent_of_calibrated_bins(confidence):
    random = np.random.default_rng(2)
    result = ece_floor(confidence)
    filled = bin_sums(confidence, np.zeros(1500)).count > 200
    inside = []
    for _ in range(600):
        bins = bin_sums(confidence, random.random(1500) < confidence)
        inside.append((bins.accuracy >= result.bin_low) & (bins.accuracy <= result.bin_high))
    share = np.mean(inside, axis=0)[filled]
    assert filled.sum() >= 3
    assert (share > 0.93).all()
    assert (share < 0.99).all()


def test_the_floor_of_ten_thousand_images_is_about_one_percent():
    confidence = np.random.default_rng(0).uniform(0.2, 1, 10_000)
    assert ece_floor(confidence, 15).mean == pytest.approx(0.012, abs=0.003)
    assert ece_floor(confidence[:100], 15).mean > 0.08


def test_the_floor_of_a_fully_confident_model_is_zero():
    result = ece_floor(np.ones(50))
    assert (result.mean, result.low, result.high) == (0, 0, 0)
    assert result.bin_low[-1] == result.bin_high[-1] == 1
    assert np.isnan(result.bin_low[:-1]).all()


def test_the_floor_depends_on_the_seed_but_not_on_the_order_of_images(confidence):
    first, other = ece_floor(confidence), ece_floor(confidence, seed=1)
    again = ece_floor(confidence[::-1])
    assert (first.mean, first.low, first.high) == (again.mean, again.low, again.high)
    assert first.mean != other.mean
    assert first.mean == pytest.approx(other.mean, rel=0.05)
