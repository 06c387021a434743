"""Selective prediction against plain loops over thresholds and over orders of ties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from sdd_eval.errors import InputError
from sdd_eval.metrics.selective import SCORES, confidence_scores, selective_metrics

tied = st.tuples(st.integers(-2, 2).map(float), st.booleans())
any_score = st.tuples(st.floats(allow_nan=False, width=32), st.booleans())
images = st.lists(st.one_of(tied, any_score), min_size=1, max_size=30)


def unzipped(pairs):
    scores, correct = zip(*pairs, strict=True)
    return np.array(scores), np.array(correct)


def plain_areas(correct_in_order):
    """AURC and AUGRC of one order, position by position."""
    wrong, risks, areas, n = 0, [], 0.0, len(correct_in_order)
    for accepted, right in enumerate(correct_in_order, start=1):
        before, wrong = wrong, wrong + (not right)
        risks.append(wrong / accepted)
        areas += (before + wrong) / 2 / n / n
    return np.mean(risks), areas


@settings(deadline=None, max_examples=40)
@given(st.lists(tied, min_size=1, max_size=6))
def test_areas_are_the_mean_over_all_orders_of_equal_scores(pairs):
    orders = [
        order
        for order in itertools.permutations(pairs)
        if all(a[0] >= b[0] for a, b in itertools.pairwise(order))
    ]
    expected = np.mean([plain_areas([right for _, right in order]) for order in orders], axis=0)
    got = selective_metrics(*unzipped(pairs))
    assert (got["aurc"], got["augrc"]) == pytest.approx(tuple(expected), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(images)
def test_coverage_is_the_largest_of_all_thresholds(pairs):
    scores, correct = unzipped(pairs)
    for percent in (1, 5):
        shares = [0.0]
        for threshold in set(scores):
            accepted = scores >= threshold
            if 100 * (~correct[accepted]).sum() <= percent * accepted.sum():
                shares.append(accepted.mean())
        metric = f"coverage_at_{percent}_percent_risk"
        assert selective_metrics(scores, correct)[metric] == pytest.approx(max(shares))


def test_a_risk_of_exactly_one_percent_counts_as_at_most_one_percent():
    for n in (100, 300, 700, 2900):
        correct = np.ones(n)
        correct[-(n // 100) :] = 0
        scores = np.arange(n, 0, -1)
        assert selective_metrics(scores, correct)["coverage_at_1_percent_risk"] == 1.0


@settings(deadline=None, max_examples=100)
@given(images)
def test_augrc_is_its_closed_form_in_auroc_and_accuracy(pairs):
    scores, correct = unzipped(pairs)
    got, accuracy = selective_metrics(scores, correct), correct.mean()
    if 0 < accuracy < 1:
        _, ranks = np.unique(scores, return_inverse=True)
        auroc = roc_auc_score(correct, ranks)
        assert got["misclassification_auroc"] == pytest.approx(auroc, abs=1e-12)
        expected = (1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
        assert got["augrc"] == pytest.approx(expected, abs=1e-12)
    else:
        assert "misclassification_auroc" not in got
        assert got["augrc"] == pytest.approx((1 - accuracy) / 2)


@settings(deadline=None, max_examples=60)
@given(images, st.randoms())
def test_metrics_are_invariant_to_order_and_monotone_transforms(pairs, random):
    scores, correct = unzipped(pairs)
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    _, ranks = np.unique(scores, return_inverse=True)
    expected = selective_metrics(scores, correct)
    assert selective_metrics(*unzipped(shuffled)) == pytest.approx(expected, abs=1e-12)
    assert selective_metrics(ranks.astype(float) ** 3, correct) == pytest.approx(expected)


def test_the_perfect_score_has_no_excess_and_the_worst_score_the_largest():
    correct = np.repeat([1, 0], [70, 30])
    best = selective_metrics(correct, correct)
    worst = selective_metrics(-correct, correct)
    random = selective_metrics(np.random.default_rng(0).random(100), correct)
    assert best["aurc_excess"] == pytest.approx(best["aurc"] - plain_areas(correct)[0], abs=0.02)
    assert selective_metrics(np.arange(100, 0, -1), correct)["aurc_excess"] == 0
    assert best["aurc"] < random["aurc"] < worst["aurc"]
    assert best["misclassification_fpr_at_95_tpr"] == 0
    assert worst["misclassification_fpr_at_95_tpr"] == 1


def test_invalid_scores_are_refused():
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        selective_metrics([np.nan, 1], [0, 1])
    with pytest.raises(InputError, match="2 scores and 1 correct flags"):
        selective_metrics([0, 1], [1])
    with pytest.raises(InputError, match="0 or 1"):
        selective_metrics([0, 1], [1, 2])
    with pytest.raises(InputError, match="1 class"):
        confidence_scores([[1.0]])


def test_scores_equal_those_of_the_softmax_unless_it_saturates():
    logits = np.random.default_rng(0).normal(0, 2, (300, 7)).astype(np.float32)
    result = dict(zip(SCORES, confidence_scores(logits).T, strict=True))
    p = softmax(logits.astype(np.float64), axis=1)
    top = p.max(axis=1)
    assert result["msp"] == pytest.approx(np.log(top / (1 - top)), abs=1e-9)
    assert result["max_logit"] == pytest.approx(logits.max(axis=1))
    energy = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))
    assert result["energy"] == pytest.approx(energy, abs=1e-12)
    assert result["entropy"] == pytest.approx((p * np.log(p)).sum(axis=1), abs=1e-12)


def test_saturated_probabilities_still_rank():
    gaps = np.array([20.0, 40.0, 80.0, 400.0])
    scores = confidence_scores(np.stack([gaps, np.zeros(4), np.zeros(4)], axis=1))
    assert softmax([40.0, 0, 0]).max() == softmax([80.0, 0, 0]).max() == 1.0
    for column in range(4):
        assert (np.diff(scores[:, column]) > 0).all(), SCORES[column]
    assert confidence_scores([[1e4, -1e4]])[0, 0] == 2e4
