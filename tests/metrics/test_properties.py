"""Properties for every input: invariance, symmetries, bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from sdd_eval.metrics.adaptive_ece import adaptive_ece
from sdd_eval.metrics.calibration import (
    bin_sums,
    ece,
    mce_of_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll
from sdd_eval.metrics.classwise_ece import classwise_ece
from sdd_eval.metrics.ranking import ood_metrics
from sdd_eval.metrics.selective import selective_metrics
from sdd_eval.metrics.smooth_ece import smooth_ece
from sdd_eval.metrics.temperature import fit_temperature

always = settings(derandomize=True, deadline=None, max_examples=60)

#: Ties are as likely as none, and so are the ends of the range.
numbers = st.one_of(
    st.integers(-4, 4).map(float), st.floats(-50, 50, allow_subnormal=False), st.just(1e-12)
)
sides = st.lists(numbers, min_size=1, max_size=30)
confidences = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]))
images = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=30)
seeds = st.integers(0, 2**16)


def maximum_calibration_error(confidence, correct, bins=10):
    return float(mce_of_bins(bin_sums(confidence, correct, bins)))


@st.composite
def logits_and_labels(draw, least=1):
    """Logits (n, classes), some of them equal, some saturated, and labels (n,)."""
    n, classes = draw(st.integers(least, 12)), draw(st.integers(2, 5))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-30, 30), st.just(1e4))
    logits = draw(arrays(np.float64, (n, classes), elements=values))
    return logits, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))


def columns(pairs):
    sure, right = zip(*pairs, strict=True)
    return np.array(sure), np.array(right)


def mean_brier(logits, labels):
    return brier_per_image(logits, labels).mean()


@always
@given(sides, sides, seeds)
def test_detection_metrics_do_not_depend_on_the_order_of_scores(inside, outside, seed):
    random = np.random.default_rng(seed)
    assert ood_metrics(random.permutation(inside), random.permutation(outside)) == ood_metrics(
        inside, outside
    )


@always
@given(images, st.integers(1, 20), seeds)
def test_calibration_errors_do_not_depend_on_the_order_of_images(pairs, bins, seed):
    sure, right = columns(pairs)
    order = np.random.default_rng(seed).permutation(len(sure))
    for error in (ece, adaptive_ece, maximum_calibration_error):
        result = error(sure[order], right[order], bins)
        assert result == pytest.approx(error(sure, right, bins), abs=1e-12)
    assert smooth_ece(sure[order], right[order]) == pytest.approx(smooth_ece(sure, right), abs=1e-9)
    before, after = selective_metrics(sure, right), selective_metrics(sure[order], right[order])
    assert after == pytest.approx(before, abs=1e-12)


@always
@given(logits_and_labels(), seeds)
def test_scores_of_probabilities_do_not_depend_on_the_order_of_classes(pair, seed):
    logits, labels = pair
    order = np.random.default_rng(seed).permutation(logits.shape[1])
    renamed = np.argsort(order)[labels]
    for score in (nll, mean_brier, classwise_ece):
        assert score(logits[:, order], renamed) == pytest.approx(score(logits, labels), abs=1e-9)


@always
@given(sides, sides, st.floats(0.25, 4), st.integers(-8, 8))
def test_metrics_are_invariant_to_monotone_transforms_of_the_scores(inside, outside, slope, shift):
    """Ranks are transformed, as rounding could tie transformed scores."""
    _, ranks = np.unique([*inside, *outside], return_inverse=True)
    ranked = ranks.astype(np.float64)
    n = len(inside)
    plain = ood_metrics(inside, outside)
    for changed in (slope * ranked + shift, np.exp(ranked / 2), -1 / (1 + ranked), ranked**3):
        assert ood_metrics(changed[:n], changed[n:]) == plain


@always
@given(sides, sides)
def test_swapping_the_sets_and_negating_the_scores_swaps_both_average_precisions(inside, outside):
    plain = ood_metrics(inside, outside)
    swapped = ood_metrics(np.negative(outside), np.negative(inside))
    for one, other in (
        ("aupr_in", "aupr_out"),
        ("aupr_in_prevalence_free", "aupr_out_prevalence_free"),
        ("fpr_at_95_tpr", "fpr_at_95_tpr_out"),
    ):
        assert swapped[one] == plain[other]
        assert swapped[other] == plain[one]
    for same in ("auroc", "detection_error", "detection_error_by_counts"):
        assert swapped[same] == pytest.approx(plain[same], abs=1e-15)


@always
@given(sides, sides)
def test_swapping_the_sets_alone_reflects_the_area_under_the_roc_curve(inside, outside):
    plain, swapped = ood_metrics(inside, outside), ood_metrics(outside, inside)
    assert swapped["auroc"] == pytest.approx(1 - plain["auroc"], abs=1e-15)


@always
@given(sides, sides)
def test_errors_of_detection_are_bounded_by_chance_and_by_the_area(inside, outside):
    result = ood_metrics(inside, outside)
    assert all(0 <= value <= 1 for value in result.values())
    assert result["detection_error"] <= 0.5
    # TPR − FPR at the best threshold; a rising curve through that point has no less area.
    assert result["auroc"] >= 1 - 2 * result["detection_error"] - 1e-12
    shares = sorted([len(inside), len(outside)])
    assert result["detection_error_by_counts"] <= shares[0] / sum(shares) + 1e-15


@always
@given(images, st.integers(1, 20))
def test_ece_is_between_the_gap_of_the_means_and_the_maximum_error(pairs, bins):
    sure, right = columns(pairs)
    error = ece(sure, right, bins)
    assert error <= maximum_calibration_error(sure, right, bins) + 1e-12
    assert error >= abs(right.mean() - sure.mean()) - 1e-12
    assert adaptive_ece(sure, right, bins) >= abs(right.mean() - sure.mean()) - 1e-12


@always
@given(images)
def test_ece_with_one_bin_is_the_gap_of_the_means(pairs):
    sure, right = columns(pairs)
    gap = pytest.approx(abs(right.mean() - sure.mean()), abs=1e-12)
    assert ece(sure, right, 1) == gap
    assert adaptive_ece(sure, right, 1) == gap


@always
@given(images, st.integers(1, 10), st.integers(2, 3))
def test_finer_bins_never_lower_ece(pairs, bins, times):
    sure, right = columns(pairs)
    away = np.abs(sure * bins * times - np.round(sure * bins * times)) > 1e-4
    sure, right = np.append(sure[away], 0.5 / (bins * times)), np.append(right[away], True)
    assert ece(sure, right, bins * times) >= ece(sure, right, bins) - 1e-12


@always
@given(images)
def test_augrc_follows_from_accuracy_and_auroc(pairs):
    sure, right = columns(pairs)
    result, a = selective_metrics(sure, right), right.mean()
    auroc = result.get("misclassification_auroc", 0.5)
    assert result["augrc"] == pytest.approx((1 - auroc) * a * (1 - a) + (1 - a) ** 2 / 2, abs=1e-12)
    assert 0 <= result["aurc_excess"] <= result["aurc"] + 1e-12


@always
@given(logits_and_labels())
def test_brier_and_nll_are_within_their_bounds(pair):
    logits, labels = pair
    score, likelihood = brier_per_image(logits, labels).mean(), nll(logits, labels)
    own = softmax(logits, axis=1)[np.arange(len(labels)), labels]
    assert 0 <= score <= 2
    # Of the squared distance the label's own part is (1 − p)², the others' at least a share of it.
    parts = (1 - own) ** 2
    assert score >= (parts * (1 + 1 / (logits.shape[1] - 1))).mean() - 1e-9
    assert score <= (2 * parts).mean() + 1e-9
    # −log p ≥ 1 − p.
    assert likelihood >= (1 - own).mean() - 1e-9


@always
@given(logits_and_labels(), st.floats(-1e3, 1e3))
def test_a_constant_added_to_all_logits_of_an_image_changes_no_score(pair, constant):
    logits, labels = pair
    moved = logits + constant
    for score in (nll, mean_brier):
        assert score(moved, labels) == pytest.approx(score(logits, labels), rel=1e-6, abs=1e-6)


@always
@given(logits_and_labels(), st.floats(0.1, 10))
def test_a_temperature_keeps_accuracy_and_moves_confidence_towards_chance(pair, temperature):
    logits, labels = pair
    cooled = logits / temperature
    ties = np.sort(logits, axis=1)[:, -2:]
    apart = (ties[:, 1] == ties[:, 0]) | (ties[:, 1] - ties[:, 0] > 1e-9)
    if apart.all():
        cooled_right, right = (confidence_and_correct(item, labels)[1] for item in (cooled, logits))
        assert (cooled_right == right).all()
    sure, cooler = (
        confidence_and_correct(logits, labels)[0],
        confidence_and_correct(cooled, labels)[0],
    )
    assert ((cooler - sure) * (1 - temperature) >= -1e-9).all()


@settings(always, max_examples=25)
@given(logits_and_labels(least=2))
def test_the_fitted_temperature_is_at_least_as_likely_as_any_other(pair):
    logits, labels = pair
    fitted = fit_temperature(logits, labels).value
    best = nll(logits, labels, fitted)
    for other in (0.05, 0.5, 1.0, fitted * 0.99, fitted * 1.01, 20.0):
        if 0.05 <= other <= 20:
            assert best <= nll(logits, labels, other) * (1 + 1e-9) + 1e-9
