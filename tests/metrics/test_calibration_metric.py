"""The expected calibration error against closed forms and a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdd_eval.errors import InputError
from sdd_eval.metrics.calibration import ece, reliability_bins


def plain_ece(confidence, correct, bins):
    """Image by image, edge by edge."""
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


def test_a_sure_and_wrong_model_has_an_error_of_one():
    assert ece(np.ones(7), np.zeros(7)) == 1.0


def test_a_sure_and_right_model_has_no_error():
    assert ece(np.ones(7), np.ones(7)) == 0.0


def test_confidence_one_lies_in_the_last_bin():
    assert reliability_bins([1.0, 0.95], [0, 1]).count.tolist() == [0] * 9 + [2]
    # A bin of its own for 1.0 gives (|0 − 1| + |1 − .95|) / 2 = .525.
    assert ece([1.0, 0.95], [0, 1]) == pytest.approx(0.475)


def test_confidence_zero_lies_in_the_first_bin():
    assert reliability_bins([0.0], [0]).count[0] == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [2, 3, 10, 15])
def test_a_confidence_on_an_edge_or_within_1e_7_of_it_lies_in_the_lower_bin(kind, bins):
    for edge in range(1, bins):
        for offset in (-1e-7, -5e-8, 0.0, 5e-8, 1e-7):
            confidence = np.array([edge / bins + offset], dtype=kind)
            assert reliability_bins(confidence, [1], bins).count.argmax() == edge - 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_confidence_clearly_above_an_edge_lies_in_the_upper_bin(kind):
    for edge in range(1, 10):
        confidence = np.array([edge / 10 + 3e-7], dtype=kind)
        assert reliability_bins(confidence, [1]).count.argmax() == edge


def test_empty_bins_contribute_nothing_and_have_no_mean():
    bins = reliability_bins([0.25, 0.25], [0, 1], bins=4)
    assert bins.count.tolist() == [2, 0, 0, 0]
    assert bins.accuracy[0] == 0.5
    assert np.isnan(bins.accuracy[1:]).all()
    assert np.isnan(bins.confidence[1:]).all()


confidences = st.one_of(
    st.floats(0, 1),
    st.floats(0, 1, width=32),
    st.integers(0, 30).map(lambda step: step / 30),
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sampled_from([np.float32, np.float64]),
)
def test_it_equals_a_plain_loop(pairs, bins, kind):
    confidence = np.array([sure for sure, _ in pairs], dtype=kind)
    correct = np.array([right for _, right in pairs])
    assert ece(confidence, correct, bins) == pytest.approx(
        plain_ece(confidence, correct, bins), abs=1e-12
    )


def test_tensors_give_what_arrays_give():
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
def test_what_is_no_confidence_is_refused_by_name(confidence, correct, bins, message):
    with pytest.raises(InputError, match=message):
        ece(confidence, correct, bins)
