"""A metric under weights is the metric of images that are there so often."""

from __future__ import annotations

import numpy as np
import pytest
from sdd_eval.metrics.weighted_calibration import (
    weighted_adaptive_ece,
    weighted_classwise_ece,
    weighted_equal_width_errors,
    weighted_smooth_ece,
)

from sdd_eval.metrics.calibration import (
    adaptive_ece,
    classwise_ece,
    debiased_ece,
    debiased_l2_calibration_error,
    ece,
)
from sdd_eval.metrics.smooth_ece import smooth_ece


@pytest.fixture
def weighted():
    """Confidences with ties and saturation, what is right, and counts of five resamples."""
    random = np.random.default_rng(0)
    confidence = np.concatenate([random.uniform(0.1, 1, 150).round(2), [1.0] * 10])
    correct = random.random(160) < confidence**2
    counts = random.integers(0, 3, (5, 160))
    return confidence, correct, counts.astype(np.float32)


def repeated(confidence, correct, counts):
    times = counts.astype(int)
    return np.repeat(confidence, times), np.repeat(correct, times)


@pytest.mark.parametrize("bins", [1, 7, 10])
def test_calibration_errors_are_those_of_repeated_images(weighted, bins):
    confidence, correct, counts = weighted
    metrics = (ece, debiased_ece, debiased_l2_calibration_error)
    found = weighted_equal_width_errors(confidence, correct, bins)(counts)
    adaptive = weighted_adaptive_ece(confidence, correct, bins)(counts)
    for row, times in enumerate(counts):
        again = repeated(confidence, correct, times)
        assert found[row] == pytest.approx([metric(*again, bins) for metric in metrics])
        assert adaptive[row] == pytest.approx(adaptive_ece(*again, bins))


def test_the_smooth_error_on_a_coarse_grid_is_within_one_percent(weighted):
    confidence, correct, counts = weighted
    found = weighted_smooth_ece(confidence, correct)(counts)
    for row, times in enumerate(counts):
        expected = smooth_ece(*repeated(confidence, correct, times))
        assert found[row] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("held", [1 << 24, 500])
def test_the_classwise_error_is_that_of_repeated_images_also_in_parts(monkeypatch, held):
    from sdd_eval.metrics import weighted_calibration

    monkeypatch.setattr(weighted_calibration, "BLOCK_SIZE", held)
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 3, (80, 6)), random.integers(0, 6, 80)
    counts = random.integers(0, 3, (4, 80))
    found = weighted_classwise_ece(logits, labels, 8)(counts)
    for row, times in enumerate(counts):
        expected = classwise_ece(np.repeat(logits, times, axis=0), np.repeat(labels, times), 8)
        assert found[row] == pytest.approx(expected, rel=1e-4)
