"""Metrics of out-of-distribution detection against scikit-learn and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sdd_eval.errors import InputError
from sdd_eval.metrics.ranking import ood_metrics, roc_curve, tpr_at_fpr

tied = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)
tiny = st.lists(st.floats(-1e-300, 1e-300), min_size=1, max_size=40)
infinite = st.lists(st.sampled_from([-np.inf, 0.0, 1.0, np.inf]), min_size=1, max_size=10)
scores = st.one_of(tied, tiny, infinite)


def thresholds(inliers, outliers):
    return [-np.inf, np.inf, *sorted({*inliers, *outliers})]


def rates(inliers, outliers, threshold):
    """Share of each that is accepted; nothing reaches the threshold above everything."""
    if threshold == np.inf and np.inf not in {*inliers, *outliers}:
        return 0.0, 0.0
    return np.mean(np.array(inliers) >= threshold), np.mean(np.array(outliers) >= threshold)


def plain_fpr(inliers, outliers):
    enough = [
        t for t in sorted(set(inliers)) if 100 * sum(s >= t for s in inliers) >= 95 * len(inliers)
    ]
    return sum(s >= max(enough) for s in outliers) / len(outliers)


def plain_fpr_with_outliers_positive(inliers, outliers):
    enough = [
        t
        for t in sorted(set(outliers))
        if 100 * sum(s <= t for s in outliers) >= 95 * len(outliers)
    ]
    return sum(s <= min(enough) for s in inliers) / len(inliers)


def plain_detection_error(inliers, outliers):
    result = [0.5]  # nothing accepted
    for threshold in thresholds(inliers, outliers):
        tpr, fpr = rates(inliers, outliers, threshold)
        result.append((1 - tpr) / 2 + fpr / 2)
    return min(result)


def ranks(inliers, outliers):
    """Return scores as ranks, because scikit-learn refuses infinity."""
    _, ranked = np.unique([*inliers, *outliers], return_inverse=True)
    return ranked.astype(float), np.array([1] * len(inliers) + [0] * len(outliers))


@settings(deadline=None, max_examples=200)
@given(scores, scores)
def test_every_metric_equals_scikit_learn_or_a_plain_loop(inliers, outliers):
    result = ood_metrics(inliers, outliers)
    ranked, positive = ranks(inliers, outliers)
    assert result["auroc"] == pytest.approx(roc_auc_score(positive, ranked), abs=1e-12)
    assert result["aupr_in"] == pytest.approx(average_precision_score(positive, ranked), abs=1e-12)
    assert result["aupr_out"] == pytest.approx(
        average_precision_score(1 - positive, -ranked), abs=1e-12
    )
    assert result["fpr_at_95_tpr"] == plain_fpr(inliers, outliers)
    assert result["fpr_at_95_tpr_out"] == plain_fpr_with_outliers_positive(inliers, outliers)
    negated = ood_metrics(np.negative(outliers), np.negative(inliers))
    assert result["fpr_at_95_tpr_out"] == negated["fpr_at_95_tpr"]
    assert result["aupr_out"] == negated["aupr_in"]
    assert result["detection_error"] == pytest.approx(
        plain_detection_error(inliers, outliers), abs=1e-12
    )


@settings(deadline=None, max_examples=50)
@given(scores, scores)
def test_the_prevalence_free_rule_is_average_precision_with_equally_weighted_sets(
    inliers, outliers
):
    result = ood_metrics(inliers, outliers)
    ranked, positive = ranks(inliers, outliers)
    weight = np.where(positive, 1 / len(inliers), 1 / len(outliers))
    for name, truth, score in (("in", positive, ranked), ("out", 1 - positive, -ranked)):
        assert result[f"aupr_{name}_prevalence_free"] == pytest.approx(
            average_precision_score(truth, score, sample_weight=weight), abs=1e-12
        )


def test_ties_count_half_in_auroc():
    assert ood_metrics([1.0, 1.0], [1.0, 1.0])["auroc"] == 0.5
    assert ood_metrics([2.0, 1.0], [1.0])["auroc"] == 0.75


def test_separated_sets_have_perfect_metrics():
    result = ood_metrics([2.0, 3.0], [0.0, 1.0])
    assert result["fpr_at_95_tpr"] == result["detection_error"] == 0
    assert result["auroc"] == result["aupr_in"] == result["aupr_out"] == 1


def test_an_inverted_score_has_a_detection_error_of_one_half():
    assert ood_metrics([0.0], [1.0])["detection_error"] == 0.5


def test_the_threshold_is_the_highest_with_a_true_positive_rate_of_95_percent():
    inliers = np.arange(1, 21)  # 19 of 20 reach 2
    assert ood_metrics(inliers, [1.9, 2.0])["fpr_at_95_tpr"] == 0.5


def test_the_detection_error_by_counts_weights_images_and_not_sets():
    result = ood_metrics([1.0] * 9, [1.0])
    assert result["detection_error"] == 0.5
    assert result["detection_error_by_counts"] == 0.1


def test_tensors_give_the_same_result_as_arrays():
    random = np.random.default_rng(0)
    inliers, outliers = random.normal(1, 1, 50), random.normal(0, 1, 70)
    assert ood_metrics(torch.tensor(inliers), torch.tensor(outliers)) == ood_metrics(
        inliers, outliers
    )


def test_nan_and_empty_sets_are_refused():
    with pytest.raises(InputError, match=r"1 of 2 in-distribution scores are NaN"):
        ood_metrics([np.nan, 1.0], [0.0])
    with pytest.raises(InputError, match="there are no outlier scores"):
        ood_metrics([1.0], [])


def test_the_area_below_the_roc_curve_counts_ties_as_one_half():
    inside, outside = [0.9, 0.5, 0.5], [0.5, 0.1]
    false_positive, true_positive = roc_curve(inside, outside)
    pairs = [(i > o) + 0.5 * (i == o) for i in inside for o in outside]
    middles = (true_positive[1:] + true_positive[:-1]) / 2
    assert np.diff(false_positive) @ middles == pytest.approx(np.mean(pairs))
    assert (false_positive[0], true_positive[0]) == (0, 0)
    assert (false_positive[-1], true_positive[-1]) == (1, 1)


def test_a_vertical_segment_of_the_curve_is_evaluated_at_its_upper_end():
    false_positive, true_positive = roc_curve([3.0, 2.0, 1.0], [1.5, 0.5])
    heights = tpr_at_fpr(false_positive, true_positive, np.array([0.0, 0.25, 0.5, 1.0]))
    assert heights == pytest.approx([2 / 3, 2 / 3, 1, 1])
