"""Calibration errors against closed forms, plain loops and inequalities between them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from sdd_eval.errors import InputError
from sdd_eval.metrics.adaptive_ece import adaptive_ece
from sdd_eval.metrics.calibration import (
    bin_sums,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece,
    mce_of_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct
from sdd_eval.metrics.classwise_ece import classwise_ece
from sdd_eval.metrics.smooth_ece import smooth_ece


def maximum_calibration_error(confidence, correct, bins=10):
    return float(mce_of_bins(bin_sums(confidence, correct, bins)))


def debiased_ece(confidence, correct, bins=10):
    return float(debiased_ece_of_bins(bin_sums(confidence, correct, bins)))


def debiased_l2_calibration_error(confidence, correct, bins=10):
    return float(debiased_l2_of_bins(bin_sums(confidence, correct, bins)))


def plain_ece(confidence, correct, bins):
    """Return ECE and maximum error from a loop over images and bin edges."""
    held = [[] for _ in range(bins)]
    for sure, right in zip(confidence, correct, strict=True):
        above = [edge for edge in range(1, bins) if float(sure) > edge / bins + 1.3e-7]
        held[len(above)].append((float(sure), float(right)))
    error = 0.0
    for images in held:
        if images:
            sures, rights = zip(*images, strict=True)
            gap = sum(rights) / len(images) - sum(sures) / len(images)
            error += len(images) / len(confidence) * abs(gap)
    return error


def test_a_confident_and_wrong_model_has_an_error_of_one():
    assert ece(np.ones(7), np.zeros(7)) == 1.0


def test_a_confident_and_correct_model_has_no_error():
    assert ece(np.ones(7), np.ones(7)) == 0.0


def test_confidence_one_lies_in_the_last_bin():
    assert bin_sums([1.0, 0.95], [0, 1]).count.tolist() == [0] * 9 + [2]
    # A bin of its own for 1.0 gives (|0 − 1| + |1 − .95|) / 2 = .525.
    assert ece([1.0, 0.95], [0, 1]) == pytest.approx(0.475)


def test_confidence_zero_lies_in_the_first_bin():
    assert bin_sums([0.0], [0]).count[0] == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [2, 3, 10, 15])
def test_a_confidence_on_an_edge_or_within_1e_7_of_it_lies_in_the_lower_bin(kind, bins):
    for edge in range(1, bins):
        for offset in (-1e-7, -5e-8, 0.0, 5e-8, 1e-7):
            confidence = np.array([edge / bins + offset], dtype=kind)
            assert bin_sums(confidence, [1], bins).count.argmax() == edge - 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_confidence_clearly_above_an_edge_lies_in_the_upper_bin(kind):
    for edge in range(1, 10):
        confidence = np.array([edge / 10 + 3e-7], dtype=kind)
        assert bin_sums(confidence, [1]).count.argmax() == edge


def test_empty_bins_contribute_nothing():
    bins = bin_sums([0.25, 0.25], [0, 1], bins=4)
    assert bins.count.tolist() == [2, 0, 0, 0]
    assert bins.accuracy.tolist() == [0.5, 0, 0, 0]
    assert bins.gap.tolist() == [0.25, 0, 0, 0]
    assert bins.filled.count.tolist() == [2]


confidences = st.one_of(
    st.floats(0, 1),
    st.floats(0, 1, width=32),
    st.integers(0, 30).map(lambda step: step / 30),
    st.just(1.0),
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_error_equals_a_plain_loop(pairs, bins, kind):
    confidence = np.array([sure for sure, _ in pairs], dtype=kind)
    correct = np.array([right for _, right in pairs])
    assert ece(confidence, correct, bins) == pytest.approx(
        plain_ece(confidence, correct, bins), abs=1e-12
    )


def test_tensors_give_the_same_result_as_arrays():
    random = np.random.default_rng(0)
    confidence, correct = random.random(100).astype(np.float32), random.random(100) < 0.5
    of_tensors = ece(torch.from_numpy(confidence).requires_grad_(), torch.from_numpy(correct))
    assert of_tensors == ece(confidence, correct)
    assert ece(torch.tensor([0.5], dtype=torch.bfloat16), torch.tensor([1])) == 0.5


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "message"),
    [
        ([0.5, np.nan, np.nan], [1, 0, 1], 10, "2 of 3 confidences are NaN"),
        ([0.5], [1, 0], 10, "1 confidences and 2 correct flags"),
        ([], [], 10, "there are no confidences"),
        ([0.5], [1], 0, "bins is 0"),
        ([1.5], [1], 10, "confidence 1.5 is outside"),
        ([-0.5], [1], 10, "confidence -0.5 is outside"),
        ([0.5], [3], 10, "0 or 1"),
        ([[0.5]], [1], 10, "2 dimensions"),
    ],
)
def test_invalid_confidences_are_refused_with_the_value(confidence, correct, bins, message):
    with pytest.raises(InputError, match=message):
        ece(confidence, correct, bins)


pairs = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40)
OF_CONFIDENCES = [
    ece,
    adaptive_ece,
    maximum_calibration_error,
    debiased_ece,
    debiased_l2_calibration_error,
    smooth_ece,
]


def unzipped(pairs):
    confidence, correct = zip(*pairs, strict=True)
    return np.array(confidence), np.array(correct, dtype=float)


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
@settings(deadline=None, max_examples=40)
@given(pairs, st.randoms())
def test_the_error_does_not_depend_on_the_order_of_images(metric, pairs, random):
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    assert metric(*unzipped(pairs)) == pytest.approx(metric(*unzipped(shuffled)), abs=1e-9)


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
@settings(deadline=None, max_examples=40)
@given(pairs)
def test_every_error_is_a_fraction(metric, pairs):
    assert 0 <= metric(*unzipped(pairs)) <= 1


@pytest.mark.parametrize("metric", OF_CONFIDENCES)
def test_errors_are_one_if_confident_and_wrong_and_zero_if_confident_and_correct(metric):
    assert metric(np.ones(9), np.zeros(9)) == pytest.approx(1)
    assert metric(np.ones(9, np.float32), np.ones(9)) == 0


@settings(deadline=None, max_examples=100)
@given(pairs, st.integers(1, 20))
def test_ece_is_at_most_the_maximum_calibration_error(pairs, bins):
    confidence, correct = unzipped(pairs)
    assert ece(confidence, correct, bins) <= (
        maximum_calibration_error(confidence, correct, bins) + 1e-12
    )


def test_the_maximum_is_over_non_empty_bins():
    assert maximum_calibration_error([0.05, 0.95, 0.95], [0, 1, 0]) == pytest.approx(0.45)


@settings(deadline=None, max_examples=100)
@given(pairs, st.integers(1, 12))
def test_equal_mass_bins_equal_those_of_a_plain_loop(pairs, bins):
    confidence, correct = unzipped(pairs)
    shared = [correct[confidence == sure].mean() for sure in confidence]
    ranked = sorted(zip(confidence, shared, strict=True))
    error = 0.0
    for part in np.array_split(np.arange(len(ranked)), bins):
        error += abs(sum(ranked[i][1] - ranked[i][0] for i in part)) / len(ranked)
    assert adaptive_ece(confidence, correct, bins) == pytest.approx(error, abs=1e-12)


def test_without_ties_or_remainder_equal_mass_bins_have_equal_counts():
    confidence = np.array([0.91, 0.92, 0.93, 0.94])  # all in one equal-width bin
    correct = np.array([0, 1, 1, 1])
    assert adaptive_ece(confidence, correct, 2) == pytest.approx((0.83 + 0.13) / 4)


@pytest.mark.parametrize("seed", range(4))
def test_the_classwise_error_is_the_mean_over_classes(seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (60, 5)).astype(np.float32)
    labels = random.integers(0, 4, 60)  # class 4 never
    probabilities = softmax(logits.astype(np.float64), axis=1)
    for bins in (1, 7, 10):
        item = [ece(probabilities[:, k], labels == k, bins) for k in range(5)]
        assert classwise_ece(logits, labels, bins) == pytest.approx(np.mean(item), abs=1e-12)


def test_the_brier_score_is_the_sum_over_all_classes():
    random = np.random.default_rng(5)
    logits, labels = random.normal(0, 2, (3000, 50)), random.integers(0, 50, 3000)
    expected = np.mean(((softmax(logits, axis=1) - np.eye(50)[labels]) ** 2).sum(axis=1))
    assert brier_per_image(logits, labels).mean() == pytest.approx(expected, abs=1e-12)


def plain_debiased_square(confidence, correct, bins):
    result = bin_sums(confidence, correct, bins)
    total, means = 0.0, (result.mean_confidence, result.accuracy)
    for count, sure, right in zip(result.count, *means, strict=True):
        if count > 1:
            noise = right * (1 - right) / (count - 1)
            total += count / len(confidence) * ((right - sure) ** 2 - noise)
    return total


@settings(deadline=None, max_examples=60)
@given(pairs, st.integers(1, 12))
def test_the_debiased_square_equals_a_plain_loop(pairs, bins):
    confidence, correct = unzipped(pairs)
    square = max(0.0, plain_debiased_square(confidence, correct, bins))
    error = debiased_l2_calibration_error(confidence, correct, bins)
    assert error**2 == pytest.approx(square, abs=1e-12)


def test_the_debiased_square_is_unbiased_and_the_plain_one_is_not():
    random = np.random.default_rng(0)
    confidence = np.full(50, 0.7)
    squares, plain = [], []
    for _ in range(4000):
        correct = random.random(50) < 0.8  # off by .1
        squares.append(plain_debiased_square(confidence, correct, 10))
        plain.append(ece(confidence, correct) ** 2)
    assert np.mean(squares) == pytest.approx(0.01, abs=0.0006)
    assert np.mean(plain) > 0.0125


def test_the_debiased_error_equals_that_of_resampled_normal_accuracies():
    random = np.random.default_rng(1)
    confidence = random.uniform(0.3, 1, 400)
    correct = random.random(400) < confidence - 0.05
    bins = bin_sums(confidence, correct).filled
    count, right, sure = bins.count, bins.accuracy, bins.mean_confidence
    noisy = random.normal(right, np.sqrt(right * (1 - right) / count), (100_000, len(count)))
    resampled = (np.abs(noisy - sure) * count / 400).sum(axis=1).mean()
    expected = 2 * ece(confidence, correct) - resampled
    assert debiased_ece(confidence, correct) == pytest.approx(expected, abs=3e-4)


def test_debiasing_reduces_the_error_of_a_calibrated_model():
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
def test_invalid_confidences_are_refused_by_every_metric(metric):
    with pytest.raises(InputError, match="1 of 2 confidences are NaN"):
        metric([0.5, np.nan], [1, 0])
    with pytest.raises(InputError, match="1 confidences and 2 correct flags"):
        metric([0.5], [1, 0])


@pytest.mark.parametrize("metric", [ece, adaptive_ece, maximum_calibration_error, debiased_ece])
def test_zero_bins_are_refused(metric):
    with pytest.raises(InputError, match="bins is 0"):
        metric([0.5], [1], 0)
