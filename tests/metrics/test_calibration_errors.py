"""The other calibration errors against plain loops, closed forms and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from sdd_eval.errors import InputError
from sdd_eval.metrics.calibration import (
    adaptive_ece,
    classwise_ece,
    debiased_ece,
    debiased_l2_calibration_error,
    ece,
    maximum_calibration_error,
    reliability_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct
from sdd_eval.metrics.smooth_ece import smooth_ece

confidences = st.one_of(
    st.floats(0, 1),
    st.floats(0, 1, width=32),
    st.integers(0, 30).map(lambda step: step / 30),
    st.just(1.0),
)
pairs = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40)
OF_CONFIDENCES = [
    ece,
    adaptive_ece,
    maximum_calibration_error,
    debiased_ece,
    debiased_l2_calibration_error,
    smooth_ece,
]


def apart(found):
    confidence, correct = zip(*found, strict=True)
    return np.array(confidence), np.array(correct, dtype=float)


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
@settings(deadline=None, max_examples=40)
@given(pairs, st.randoms())
def test_the_order_of_the_images_decides_nothing(metric, found, random):
    shuffled = found.copy()
    random.shuffle(shuffled)
    assert metric(*apart(found)) == pytest.approx(metric(*apart(shuffled)), abs=1e-9)


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
@settings(deadline=None, max_examples=40)
@given(pairs)
def test_every_error_is_a_fraction(metric, found):
    assert 0 <= metric(*apart(found)) <= 1


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
def test_sure_and_wrong_is_one_and_sure_and_right_is_nothing(metric):
    assert metric(np.ones(9), np.zeros(9)) == pytest.approx(1)
    assert metric(np.ones(9, np.float32), np.ones(9)) == 0


@settings(deadline=None, max_examples=100)
@given(pairs, st.integers(1, 20))
def test_no_bin_is_further_off_than_the_maximum_so_the_mean_is_not_either(found, bins):
    confidence, correct = apart(found)
    assert ece(confidence, correct, bins) <= (
        maximum_calibration_error(confidence, correct, bins) + 1e-12
    )


def test_the_maximum_is_over_filled_bins():
    assert maximum_calibration_error([0.05, 0.95, 0.95], [0, 1, 0]) == pytest.approx(0.45)


@settings(deadline=None, max_examples=100)
@given(pairs, st.integers(1, 12))
def test_equal_mass_bins_are_those_of_a_plain_loop(found, bins):
    confidence, correct = apart(found)
    shared = [correct[confidence == sure].mean() for sure in confidence]
    ranked = sorted(zip(confidence, shared, strict=True))
    error = 0.0
    for part in np.array_split(np.arange(len(ranked)), bins):
        error += abs(sum(ranked[i][1] - ranked[i][0] for i in part)) / len(ranked)
    assert adaptive_ece(confidence, correct, bins) == pytest.approx(error, abs=1e-12)


def test_without_ties_or_remainder_equal_mass_bins_hold_equally_many_images():
    confidence = np.array([0.91, 0.92, 0.93, 0.94])  # all in one equal-width bin
    correct = np.array([0, 1, 1, 1])
    assert adaptive_ece(confidence, correct, 2) == pytest.approx((0.83 + 0.13) / 4)


@pytest.mark.parametrize("seed", range(4))
def test_the_classwise_error_is_the_mean_of_the_classes_own(seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (60, 5)).astype(np.float32)
    labels = random.integers(0, 4, 60)  # class 4 never
    probabilities = softmax(logits.astype(np.float64), axis=1)
    for bins in (1, 7, 10):
        each = [ece(probabilities[:, k], labels == k, bins) for k in range(5)]
        assert classwise_ece(logits, labels, bins) == pytest.approx(np.mean(each), abs=1e-12)


def test_the_brier_score_is_the_sum_over_all_classes():
    random = np.random.default_rng(5)
    logits, labels = random.normal(0, 2, (3000, 50)), random.integers(0, 50, 3000)
    expected = np.mean(((softmax(logits, axis=1) - np.eye(50)[labels]) ** 2).sum(axis=1))
    assert brier_per_image(logits, labels).mean() == pytest.approx(expected, abs=1e-12)


def plain_debiased_square(confidence, correct, bins):
    found = reliability_bins(confidence, correct, bins)
    total = 0.0
    for count, sure, right in zip(found.count, found.confidence, found.accuracy, strict=True):
        if count > 1:
            noise = right * (1 - right) / (count - 1)
            total += count / len(confidence) * ((right - sure) ** 2 - noise)
    return total


@settings(deadline=None, max_examples=60)
@given(pairs, st.integers(1, 12))
def test_the_debiased_square_is_that_of_a_plain_loop(found, bins):
    confidence, correct = apart(found)
    square = max(0.0, plain_debiased_square(confidence, correct, bins))
    found = debiased_l2_calibration_error(confidence, correct, bins)
    assert found**2 == pytest.approx(square, abs=1e-12)


def test_the_debiased_square_is_right_on_average_where_the_plain_one_is_not():
    random = np.random.default_rng(0)
    confidence = np.full(50, 0.7)
    squares, plain = [], []
    for _ in range(4000):
        correct = random.random(50) < 0.8  # off by .1
        squares.append(plain_debiased_square(confidence, correct, 10))
        plain.append(ece(confidence, correct) ** 2)
    assert np.mean(squares) == pytest.approx(0.01, abs=0.0006)
    assert np.mean(plain) > 0.0125


def test_the_debiased_error_is_that_of_resampling_normal_accuracies():
    random = np.random.default_rng(1)
    confidence = random.uniform(0.3, 1, 400)
    correct = random.random(400) < confidence - 0.05
    bins = reliability_bins(confidence, correct)
    kept = bins.count > 0
    count, right, sure = bins.count[kept], bins.accuracy[kept], bins.confidence[kept]
    noisy = random.normal(right, np.sqrt(right * (1 - right) / count), (100_000, len(count)))
    resampled = (np.abs(noisy - sure) * count / 400).sum(axis=1).mean()
    expected = 2 * ece(confidence, correct) - resampled
    assert debiased_ece(confidence, correct) == pytest.approx(expected, abs=3e-4)


def test_debiasing_brings_a_calibrated_models_error_nearer_to_nothing():
    random = np.random.default_rng(2)
    plain, debiased = [], []
    for _ in range(50):
        confidence = random.uniform(0.2, 1, 500)
        correct = random.random(500) < confidence
        plain.append(ece(confidence, correct))
        debiased.append(debiased_ece(confidence, correct))
    # Of normal gaps 2 |gap| − E|gap + noise| leaves (2 − √2) = .59, and clipping adds a little.
    assert 0.5 < np.mean(debiased) / np.mean(plain) < 0.7


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_one_class_in_the_labels_and_huge_logits_are_measured(scale):
    logits = scale * np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]], dtype=np.float32)
    for labels in ([0, 0], [2, 2]):
        confidence, correct = confidence_and_correct(logits, labels)
        for metric in OF_CONFIDENCES:
            assert 0 <= metric(confidence, correct) <= 1
        assert 0 <= classwise_ece(logits, labels) <= 1
        scores = brier_per_image(logits, labels)
        assert (scores >= 0).all()
        assert (scores <= 2).all()
    if scale == 1e4:
        assert classwise_ece(logits, [0, 1]) == 0
        assert brier_per_image(logits, [0, 1]).tolist() == [0, 0]
        assert brier_per_image(logits, [1, 1]).tolist() == [2, 0]
        assert classwise_ece(logits, [1, 0]) == pytest.approx(2 / 3 * 1)


@pytest.mark.parametrize("metric", [*OF_CONFIDENCES])
def test_what_is_no_confidence_is_refused_by_every_metric(metric):
    with pytest.raises(InputError, match="1 of 2 confidences are NaN"):
        metric([0.5, np.nan], [1, 0])
    with pytest.raises(InputError, match="1 confidences and 2 correct flags"):
        metric([0.5], [1, 0])


@pytest.mark.parametrize("metric", [ece, adaptive_ece, maximum_calibration_error, debiased_ece])
def test_no_bins_are_refused(metric):
    with pytest.raises(InputError, match="bins is 0"):
        metric([0.5], [1], 0)
