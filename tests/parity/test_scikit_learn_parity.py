"""AUROC and average precision equal those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sdd_eval.metrics.ranking import ood_metrics

RANDOM = np.random.default_rng(2006)
#: Scores of inliers and of outliers.
CASES = {
    "random": (RANDOM.normal(1, 1, 3000), RANDOM.normal(0, 1, 2000)),
    "few against many": (RANDOM.normal(1, 1, 7), RANDOM.normal(0, 1, 5000)),
    "tied": (RANDOM.integers(0, 6, 900) / 4, RANDOM.integers(-2, 4, 700) / 4),
    "all alike": (np.full(40, 0.5), np.full(60, 0.5)),
    "saturated": tuple(
        1 - RANDOM.integers(0, most, 800) * np.finfo(np.float64).epsneg for most in (4, 9)
    ),
    "saturated in float32": tuple(
        (1 - np.exp(-RANDOM.exponential(mean, 900))).astype(np.float32) for mean in (14.0, 9.0)
    ),
    "tiny": (RANDOM.exponential(3e-300, 50), RANDOM.exponential(1e-300, 70)),
    "one of each": (np.array([0.3]), np.array([0.7])),
    "upside down": (RANDOM.normal(-2, 1, 300), RANDOM.normal(2, 1, 300)),
}


@pytest.mark.parametrize("name", CASES)
def test_areas_equal_those_of_scikit_learn(name):
    inside, outside = (np.asarray(side, dtype=np.float64) for side in CASES[name])
    scores = np.concatenate([inside, outside])
    inlier = np.arange(len(scores)) < len(inside)
    result = ood_metrics(*CASES[name])
    assert result["auroc"] == pytest.approx(roc_auc_score(inlier, scores), abs=1e-12)
    as_in = average_precision_score(inlier, scores)
    as_out = average_precision_score(~inlier, -scores)
    assert result["aupr_in"] == pytest.approx(as_in, abs=1e-12)
    assert result["aupr_out"] == pytest.approx(as_out, abs=1e-12)


def test_saturated_scores_have_ties_and_tiny_scores_have_none():
    for name in ("saturated", "saturated in float32"):
        inside, outside = CASES[name]
        assert len(np.intersect1d(inside, outside)) > 1
    assert len(np.unique(np.concatenate(CASES["tiny"]))) == 120
