"""Smooth ECE against its definition, written out with reflected kernels and a fine integral."""

import numpy as np
import pytest
from scipy.optimize import brentq

from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.smooth_ece import smooth_ece


def plain_smoothed(confidence, correct, width, steps=4000):
    """∫ |mean residual × reflected Gaussian| over midpoints, image by image."""
    at = (np.arange(steps) + 0.5) / steps
    total, periods = np.zeros(steps), int(2 + 4 * width)
    for sure, right in zip(confidence, correct, strict=True):
        for period in range(-periods, periods + 1):
            for image in (2 * period + sure, 2 * period - sure):
                total += (right - sure) * np.exp(-(((at - image) / width) ** 2) / 2)
    return np.abs(total).mean() / (len(confidence) * width * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("seed", range(5))
def test_smooth_ece_is_the_fixed_point_of_its_definition(seed):
    random = np.random.default_rng(seed)
    confidence = np.concatenate([random.random(12) ** 0.3, [1.0, 1.0, 0.0, 0.5]])
    correct = random.random(16) < confidence**2
    expected = brentq(
        lambda width: plain_smoothed(confidence, correct, width) - width, 5e-3, 1, xtol=1e-9
    )
    assert smooth_ece(confidence, correct) == pytest.approx(expected, abs=2e-6)


def test_a_narrow_fixed_point_is_found_as_well():
    random = np.random.default_rng(9)
    confidence = np.repeat([0.31, 0.62, 0.93], [20, 20, 40])
    correct = np.concatenate([np.arange(20) < 6, np.arange(20) < 13, np.arange(40) < 37])
    confidence = confidence + random.uniform(-1e-3, 1e-3, 80)
    expected = brentq(
        lambda width: plain_smoothed(confidence, correct, width, 8000) - width, 2e-3, 0.1
    )
    assert expected < 0.02
    assert smooth_ece(confidence, correct) == pytest.approx(expected, abs=2e-5)


def test_an_overconfidence_of_one_tenth_gives_an_error_of_about_one_tenth():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 100_000)
    correct = random.random(100_000) < confidence - 0.1
    assert smooth_ece(confidence, correct) == pytest.approx(0.1, abs=0.006)
    assert ece(confidence, correct) == pytest.approx(0.1, abs=0.006)


def test_smooth_ece_is_continuous_at_the_edges_of_bins():
    correct = np.array([1, 0] * 50)
    below, above = np.full(100, 0.5 - 1e-6), np.array([0.5 - 1e-6, 0.5 + 1e-6] * 50)
    assert abs(smooth_ece(below, correct) - smooth_ece(above, correct)) < 1e-3
    assert abs(ece(below, correct) - ece(above, correct)) > 0.4
