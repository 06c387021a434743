"""Accuracy, confidence, likelihood, Brier score and fitted temperature of logits."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from sdd_eval.errors import InputError
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import (
    brier_per_image,
    confidence_and_correct,
    log_softmax,
    nll,
    top_k_correct,
)
from sdd_eval.metrics.classwise_ece import classwise_ece
from sdd_eval.metrics.temperature import fit_temperature


@pytest.fixture
def random_logits():
    random = np.random.default_rng(3)
    return random.normal(0, 2, (200, 7)).astype(np.float32), random.integers(0, 7, 200)


def test_the_likelihood_equals_that_of_torch_in_float64(random_logits):
    logits, labels = random_logits
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)
    )
    assert nll(logits, labels) == pytest.approx(float(expected), abs=1e-12)


def test_the_softmax_neither_overflows_nor_loses_small_probabilities():
    logits = np.array([[2000.0, 0.0], [-2000.0, -2000.0]])
    assert np.exp(log_softmax(logits)).tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert log_softmax(logits)[0, 1] == -2000


def test_top_k_counts_the_classes_before_the_labels(random_logits):
    logits, labels = random_logits
    order = np.argsort(-logits, axis=1)
    for k in (1, 3, 5):
        expected = np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
        assert top_k_correct(logits, labels, k).mean() == expected


def test_of_equal_logits_the_first_class_counts_in_both_accuracies():
    logits = np.zeros((2, 3))
    _, correct = confidence_and_correct(logits, [0, 1])
    assert correct.tolist() == top_k_correct(logits, [0, 1], k=1).tolist() == [True, False]


def test_the_confidence_is_the_largest_softmax_probability_in_float64():
    confidence, correct = confidence_and_correct(np.array([[20.0, 0.0]], np.float32), [0])
    assert confidence.dtype == np.float64
    assert confidence[0] == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-16)
    assert correct.tolist() == [True]


def test_nan_and_labels_outside_the_classes_are_refused():
    with pytest.raises(InputError, match="1 of 4 logits are NaN"):
        confidence_and_correct([[0.0, np.nan], [0.0, 1.0]], [0, 1])
    with pytest.raises(InputError, match="label 2 is not a class"):
        confidence_and_correct([[0.0, 1.0]], [2])
    with pytest.raises(InputError, match="2 labels for 1 images"):
        confidence_and_correct([[0.0, 1.0]], [0, 1])


def test_the_fitted_temperature_undoes_a_scaling_of_calibrated_logits():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 5))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    base = fit_temperature(logits, labels)
    assert base.value == pytest.approx(1, abs=0.03)
    assert fit_temperature(logits * 4, labels).value == pytest.approx(4 * base.value, rel=1e-6)
    assert not base.at_bound


def test_the_fitted_temperature_has_the_least_likelihood_loss_of_a_grid(random_logits):
    logits, labels = random_logits
    labels = np.where(np.arange(200) % 3, logits.argmax(axis=1), labels)
    fitted = fit_temperature(logits, labels).value
    grid = np.geomspace(0.05, 20, 200)
    assert nll(logits, labels, fitted) <= min(nll(logits, labels, t) for t in grid) + 1e-12


def test_a_temperature_at_a_bound_of_the_range_is_marked():
    sure_and_right = fit_temperature([[9.0, 0.0]], [0])
    assert (sure_and_right.value, sure_and_right.at_bound) == (0.05, True)
    sure_and_wrong = fit_temperature([[9.0, 0.0]], [1])
    assert (sure_and_wrong.value, sure_and_wrong.at_bound) == (20.0, True)


OF_LOGITS = [
    top_k_correct,
    brier_per_image,
    classwise_ece,
    confidence_and_correct,
    fit_temperature,
    nll,
]


@pytest.mark.parametrize("metric", OF_LOGITS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nan_and_infinity_are_refused_with_their_number(metric, kind):
    logits = np.zeros((5, 3), dtype=kind)
    logits[4, 1] = -np.inf
    with pytest.raises(InputError, match=r"^1 of 15 logits are infinite; every one must be finite"):
        metric(logits, [0] * 5)
    logits[2] = np.nan
    with pytest.raises(InputError, match=r"^3 of 15 logits are NaN and 1 infinite"):
        metric(logits, [0] * 5)
    logits[4, 1] = 0
    with pytest.raises(InputError, match=r"^3 of 15 logits are NaN; every"):
        metric(logits, [0] * 5)


def values(result):
    return dataclasses.astuple(result) if dataclasses.is_dataclass(result) else result


@pytest.mark.parametrize("metric", OF_LOGITS)
def test_tensors_give_the_same_result_as_arrays_and_are_not_modified(metric):
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (50, 4)).astype(np.float32), random.integers(0, 4, 50)
    before = logits.copy()
    of_arrays = metric(logits, labels)
    of_tensors = metric(torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels))
    assert (logits == before).all()
    for one, other in zip(np.atleast_1d(of_arrays), np.atleast_1d(of_tensors), strict=True):
        np.testing.assert_array_equal(values(one), values(other))  # NaN equals NaN


@settings(deadline=None, max_examples=60)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 6)),
        elements=st.one_of(st.floats(-1e4, 1e4, width=32), st.sampled_from([-1e4, 0, 1e4])),
    )
)
def test_one_pass_returns_the_largest_softmax_probability_and_the_first_of_tied_classes(logits):
    labels = np.zeros(len(logits), dtype=int)
    confidence, correct = confidence_and_correct(logits, labels)
    assert confidence == pytest.approx(
        softmax(logits.astype(np.float64), axis=1).max(axis=1), abs=1e-15
    )
    assert (correct == (logits.argmax(axis=1) == 0)).all()
    assert (confidence <= 1).all()
    assert 0 <= ece(confidence, correct) <= 1
    assert np.isfinite(nll(logits, labels))


def test_results_do_not_depend_on_the_block_size():
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 3, (5000, 60)), random.integers(0, 60, 5000)
    confidence, correct = confidence_and_correct(logits, labels)
    parts = [
        confidence_and_correct(logits[i : i + 1], labels[i : i + 1]) for i in range(0, 5000, 9)
    ]
    assert [part[0][0] for part in parts] == confidence[::9].tolist()
    assert [part[1][0] for part in parts] == correct[::9].tolist()


def test_equal_logits_have_no_temperature_to_fit():
    fitted = fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0])
    assert (fitted.value, fitted.at_bound) == (1.0, False)
