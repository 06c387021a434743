"""One pass over logits in blocks: exact at the edges, refusing what is no number, and quick."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from sdd_eval.errors import InputError
from sdd_eval.metrics.calibration import classwise_ece, ece
from sdd_eval.metrics.classification import (
    brier_per_image,
    confidence_and_correct,
    nll,
    top_k_correct,
)
from sdd_eval.metrics.temperature import fit_temperature

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
def test_nan_and_infinity_are_refused_with_how_many(metric, kind):
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


@pytest.mark.parametrize("metric", OF_LOGITS)
def test_tensors_give_what_arrays_give_and_keep_their_values(metric):
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (50, 4)).astype(np.float32), random.integers(0, 4, 50)
    kept = logits.copy()
    of_arrays = metric(logits, labels)
    of_tensors = metric(torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels))
    assert (logits == kept).all()
    for one, other in zip(np.atleast_1d(of_arrays), np.atleast_1d(of_tensors), strict=True):
        assert np.all(one == other)


@settings(deadline=None, max_examples=60)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 6)),
        elements=st.one_of(st.floats(-1e4, 1e4, width=32), st.sampled_from([-1e4, 0, 1e4])),
    )
)
def test_the_pass_gives_the_softmaxs_largest_value_and_the_first_class_of_equal_ones(logits):
    labels = np.zeros(len(logits), dtype=int)
    confidence, correct = confidence_and_correct(logits, labels)
    assert confidence == pytest.approx(
        softmax(logits.astype(np.float64), axis=1).max(axis=1), abs=1e-15
    )
    assert (correct == (logits.argmax(axis=1) == 0)).all()
    assert (confidence <= 1).all()
    assert 0 <= ece(confidence, correct) <= 1
    assert np.isfinite(nll(logits, labels))


def test_blocks_change_nothing():
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 3, (5000, 60)), random.integers(0, 60, 5000)
    confidence, correct = confidence_and_correct(logits, labels)
    parts = [
        confidence_and_correct(logits[i : i + 1], labels[i : i + 1]) for i in range(0, 5000, 9)
    ]
    assert [part[0][0] for part in parts] == confidence[::9].tolist()
    assert [part[1][0] for part in parts] == correct[::9].tolist()


def test_logits_that_are_all_equal_have_no_temperature_to_fit():
    fitted = fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0])
    assert (fitted.value, fitted.at_bound) == (1.0, False)
