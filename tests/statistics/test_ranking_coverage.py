"""Coverage of intervals of rankings and risk–coverage curves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from sdd_eval.metrics.ranking import METRICS
from sdd_eval.metrics.ranking_statistics import Rankings
from sdd_eval.metrics.selective import Cell, selective_metrics, selective_statistic
from sdd_eval.statistics.statistic import Quantity

TRIALS = 100
#: A coverage of .95 falls below this in 2 of 1,000 series of trials.
LOWEST = 0.88


def quantity(metric, label=""):
    return Quantity(metric, "fraction", {"outliers": label}, "")


def ends_of(metric, inliers, **outliers):
    """The interval of a metric, of the average if there are several sets."""
    groups = {"average": tuple(outliers)}
    rankings = Rankings(dict.fromkeys(outliers, inliers), outliers, groups, (metric,))
    (ends,) = rankings.statistic([metric], quantity).level_bounds(0.95)
    return ends


def of_cells(metric, *cells):
    """The interval of the mean of a selective metric over cells."""
    statistic = selective_statistic([quantity(metric)], [Cell(*cell) for cell in cells])
    (ends,) = statistic.level_bounds(0.95)
    return ends


def separated(n, m):
    """Normal scores of n inliers and m outliers of which few overlap, at their quantiles."""
    inliers, outliers = (ndtri((np.arange(size) + 0.5) / size) for size in (n, m))
    return inliers + 4.3, outliers


def test_an_auroc_near_one_has_a_lower_end_above_98_percent():
    inliers, outliers = separated(200, 200)
    ends = ends_of("auroc", inliers, far=outliers)
    assert 0.98 < ends.low < 0.9990 < ends.high < 1


def test_a_small_detection_error_against_50_outliers_has_an_upper_end_far_below_one_half():
    """With a true error of .036 one sample in seven has an error of at most .015."""
    inliers = np.append(np.arange(990.0) + 1000, np.arange(10) + 0.5)
    outliers = np.append(np.arange(49.0), 1500.0)
    ends = ends_of("detection_error", inliers, far=outliers)
    assert 0.004 < ends.low < 0.015
    assert 0.036 < ends.high < 0.065


@pytest.mark.parametrize("shift", [0.0, -3.0])
def test_a_detection_error_is_never_above_one_half(shift):
    random = np.random.default_rng(1)
    inliers, outliers = random.normal(shift, 1, 60), random.normal(0, 1, 50)
    assert ends_of("detection_error", inliers, far=outliers).high == 0.5


def test_two_errors_among_797_images_bound_the_aurc_below_2_percent():
    correct = np.ones(797, dtype=bool)
    correct[[600, 790]] = False
    scores = np.arange(797.0)[::-1]
    assert selective_metrics(scores, correct)["aurc"] < 0.001
    ends = of_cells("aurc", (scores, correct))
    assert 0 < ends.low < 0.0004
    assert ends.high < 0.02


def test_perfect_separation_of_few_images_is_not_certain():
    inliers, outliers = np.arange(50.0) + 100, np.arange(20.0)
    fpr = ends_of("fpr_at_95_tpr", inliers, far=outliers)
    assert fpr.low == 0
    assert fpr.high == pytest.approx(0.161, abs=1e-3)
    auroc = ends_of("auroc", inliers, far=outliers)
    assert auroc.high == 1
    assert 0.8 < auroc.low < 0.9


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("fpr_at_95_tpr", "the threshold rests on only 49 images"),
        ("fpr_at_95_tpr_out", "the threshold rests on only 20 images"),
    ],
)
def test_a_threshold_from_few_images_has_no_interval(metric, reason):
    inliers, outliers = np.arange(49.0) + 10, np.arange(20.0)
    assert ends_of(metric, inliers, far=outliers) == reason
    many = np.arange(1000.0)
    assert ends_of(metric, inliers, near=many, far=outliers) == reason


def test_an_auroc_against_one_image_has_no_interval():
    assert "a single image" in ends_of("auroc", np.arange(5.0), far=np.zeros(1))


def truths(n, m, shift):
    """The metrics of normal scores, unrounded, of populations."""
    t = np.linspace(-8, 8 + shift, 100_001)
    misses, alarms = ndtr(t - shift), 1 - ndtr(t)
    errors = (misses + alarms) / 2, (n * misses + m * alarms) / (n + m)
    smallest = min(n, m) / (n + m)
    return {
        "auroc": ndtr(shift / np.sqrt(2)),
        "fpr_at_95_tpr": 1 - ndtr(shift + ndtri(0.05)),
        "fpr_at_95_tpr_out": ndtr(ndtri(0.95) - shift),
        "detection_error": min(0.5, errors[0].min()),
        "detection_error_by_counts": min(smallest, errors[1].min()),
    }


@pytest.mark.parametrize(("n", "m", "shift"), [(50, 300, 1.0), (72, 80, 3.0), (300, 30, 2.0)])
def test_intervals_of_rankings_have_their_coverage_with_few_images(n, m, shift):
    random, truth = np.random.default_rng(2), truths(n, m, shift)
    covered = {metric: [] for metric in truth}
    for _ in range(TRIALS):
        inliers, outliers = random.normal(shift, 1, n), random.normal(0, 1, m)
        for metric, value in truth.items():
            ends = ends_of(metric, inliers, far=outliers)
            if not isinstance(ends, str):
                covered[metric].append(ends.low <= value <= ends.high)
    shares = {metric: np.mean(trials) for metric, trials in covered.items() if trials}
    assert len(shares) >= 4
    assert min(shares.values()) >= LOWEST, shares


def test_intervals_of_averages_over_sets_have_their_coverage():
    """One metric of each method, over two sets that share their inliers."""
    random, n, sizes, shifts = np.random.default_rng(3), 200, (60, 90), (2.0, 1.0)
    metrics = [*truths(1, 1, 1.0)]
    # AUPR by counts of populations in the proportion of the sets
    large = random.normal(0, 1, 200_000)
    truth = {
        metric: np.mean([truths(n, m, s)[metric] for m, s in zip(sizes, shifts, strict=True)])
        for metric in metrics
    }
    of_large = [
        Rankings({"x": large[: n * 500]}, {"x": large[-m * 500 :] - s}, {"x": ("x",)})
        for m, s in zip(sizes, shifts, strict=True)
    ]
    truth["aupr_in"] = np.mean([one.values["x"]["aupr_in"] for one in of_large])
    covered = {metric: [] for metric in truth}
    for _ in range(TRIALS):
        inliers = random.normal(0, 1, n)
        near, far = (random.normal(-s, 1, m) for m, s in zip(sizes, shifts, strict=True))
        for metric, value in truth.items():
            ends = ends_of(metric, inliers, far=near, near=far)
            covered[metric].append(ends.low <= value <= ends.high)
    shares = {metric: np.mean(trials) for metric, trials in covered.items()}
    assert set(shares) <= set(METRICS)
    assert min(shares.values()) >= LOWEST, shares


def test_coverages_at_a_risk_have_intervals_where_scores_tell_wrong_images_well():
    """The threshold hardly varies then, but the share of images above it does."""
    metric, random, covered = "coverage_at_5_percent_risk", np.random.default_rng(6), []
    for _ in range(TRIALS):
        sure = random.random(400) < 0.6  # two tied groups
        correct = random.random(400) < np.where(sure, 0.99, 0.3)
        ends = of_cells(metric, (sure * 1.0, correct))
        covered.append(ends.low <= 0.6 <= ends.high)
    assert np.mean(covered) >= LOWEST


def test_a_coverage_of_one_is_not_certain_with_few_images():
    ends = of_cells("coverage_at_5_percent_risk", (np.arange(200.0), np.ones(200, dtype=bool)))
    assert ends.high == 1
    assert 0.95 < ends.low < 1


def renderings(random, n):
    """Scores and correctness of images in three renderings that are right and wrong together."""
    ease, cells = random.normal(0, 1, n), []
    for hardness in (-2.5, -2.0, -1.0):
        scores = ease + random.normal(0, 0.5, n)
        cells.append((scores, random.random(n) < 1 / (1 + np.exp(-2 * ease + hardness))))
    return cells


@pytest.mark.parametrize("n", [150, 600])
def test_intervals_of_selective_prediction_have_their_coverage_for_cells_and_means(n):
    names = ("aurc", "aurc_excess", "augrc", "misclassification_auroc")
    names += ("misclassification_fpr_at_95_tpr",)
    of_large = [selective_metrics(*cell) for cell in renderings(np.random.default_rng(4), 400_000)]
    random, covered = np.random.default_rng(5), {(name, k): [] for name in names for k in (1, 3)}
    for _ in range(TRIALS):
        cells = renderings(random, n)
        for name, count in covered:
            truth = np.mean([one[name] for one in of_large[:count]])
            ends = of_cells(name, *cells[:count])
            covered[name, count].append(ends.low <= truth <= ends.high)
    shares = {key: np.mean(trials) for key, trials in covered.items()}
    assert min(shares.values()) >= LOWEST, shares
