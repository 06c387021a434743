"""Closed-form intervals against the values of an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest

from sdd_eval.metrics.calibration import bin_sums, equal_width_errors
from sdd_eval.metrics.classwise_ece import classwise_ece, classwise_error
from sdd_eval.statistics.closed_form import binned, ranking, risk_coverage, share
from sdd_eval.statistics.hypothesis_tests import mcnemar_p_values
from sdd_eval.statistics.statistic import Quantity, mean_of_cells, shares


def scores(n, m, gap, decimals):
    """Normal scores of n inliers and m outliers, rounded to make ties."""
    random = np.random.default_rng((n, m))
    inliers, outliers = random.normal(gap, 1, n), random.normal(0, 1, m)
    if decimals is None:
        return inliers, outliers
    return np.round(inliers, decimals), np.round(outliers, decimals)


def bins(n, over_confidence):
    """Fifteen bins of n images whose accuracy lies below their confidence."""
    random = np.random.default_rng(n)
    confidence = random.beta(9, 1, n)
    correct = (random.random(n) < confidence - over_confidence) * 1.0
    index = np.minimum((confidence * 15).astype(int), 14)
    columns = (np.bincount(index, x) for x in (np.ones(n), confidence, correct))
    return binned.Bins(*columns).filled


RANKING = {
    (200, 50, 1.0, None): {
        "auroc": (0.7969, 0.7112545594, 0.86206838),
        "fpr": (0.68, 0.4696571482, 0.9705858286),
        "aupr": (0.7905108234, 0.6060365583, 0.8762473015),
        "aupr_counts": (0.9334217432, 0.8516752372, 0.9631848075),
        "error": (0.2575, 0.195204542, 0.3468344541),
        "aurc": (0.1807243508, 0.1208133786, 0.2615080487),
        "augrc": (0.0986125, 0.0706987614, 0.1341045688),
    },
    (1000, 300, 3.0, 0): {
        "auroc": (0.976035, 0.9651394142, 0.9835831238),
        "fpr": (0.2833333333, 0.2353308526, 0.3368144349),
        "aupr": (0.9652975825, 0.9248331187, 0.9753131141),
        "aupr_counts": (0.9882169739, 0.9737609523, 0.9920008651),
        "error": (0.0701666667, 0.0561223396, 0.0898705243),
        "aurc": (0.2077006581, 0.1748033229, 0.2449513668),
        "augrc": (0.1036965, 0.0900848235, 0.1187689697),
    },
    (50, 20, 90.0, None): {
        "auroc": (1.0, 0.8313680285, 1.0),
        "fpr": (0.0, 0.0, 0.1611251581),  # the smallest of 50 scores bounds the threshold
        "aupr": (1.0, 0.6817782942, 1.0),
        "aupr_counts": (1.0, 0.8134013871, 1.0),
        "error": (0.0, 0.0, 0.0881075996),
        "aurc": (0.149549033, 0.063818828, 0.3120561423),
        "augrc": (0.0886, 0.0434520184, 0.1638251468),
    },
    (300, 300, 0.0, None): {
        "auroc": (0.5074666667, 0.4608155683, 0.5539880984),
        "fpr": (0.94, 0.8975947037, 0.9776020605),
        "aupr": (0.5158696785, 0.4618017499, 0.5692234862),
        "aupr_counts": (0.5158696785, 0.4618017499, 0.5692234862),
        "error": (0.4783333333, 0.4228890711, 0.5),
        "aurc": (0.2099122103, 0.1503862292, 0.2850935498),
        "augrc": (0.0989888889, 0.0752255967, 0.1279968762),
    },
}
ECE = {
    (200, 0.0): (0.0430138795, 0.0, 0.0873715727, 0.0253520457),
    (200, 0.05): (0.067748916, 0.0015507878, 0.1176959072, 0.0575658028),
    (200, 0.2): (0.1947808664, 0.1217110968, 0.2602485214, 0.1914169808),
    (5000, 0.0): (0.0086883944, 0.0, 0.0162547443, 0.0050506762),
    (5000, 0.05): (0.0443200989, 0.0307062732, 0.0543008699, 0.0423069609),
    (5000, 0.2): (0.1973200989, 0.1841327163, 0.210018043, 0.1971522736),
}


@pytest.mark.parametrize("case", RANKING)
@pytest.mark.parametrize(
    ("name", "interval"),
    [
        ("auroc", lambda a, b: ranking.mean_auroc([ranking.placements(a, b)])),
        ("fpr", ranking.fpr_at_tpr),
        ("aupr", ranking.average_precision),
        ("aupr_counts", lambda a, b: ranking.average_precision(a, b, prevalence_free=False)),
        ("error", ranking.detection_error),
    ],
)
def test_a_ranking_metric_has_the_reference_interval(case, name, interval):
    assert interval(*scores(*case))[:3] == pytest.approx(RANKING[case][name], abs=1e-9)


@pytest.mark.parametrize("case", RANKING)
def test_areas_under_risk_curves_have_the_reference_interval(case):
    confidence = np.round(scores(*case)[0], 1)
    correct = (np.cos(np.arange(len(confidence))) < 0.8) * 1.0
    expected = RANKING[case]
    for name, area in (("aurc", risk_coverage.aurc_area), ("augrc", risk_coverage.augrc_area)):
        bounds = area(confidence, correct).bounds()
        assert bounds[:3] == pytest.approx(expected[name], abs=1e-9)


@pytest.mark.parametrize("case", ECE)
def test_the_ece_has_the_reference_interval_and_debiased_value(case):
    measured = bins(*case)
    bounds = binned.ece(measured)
    debiased = measured.debiased(measured.spread)
    assert (*bounds[:3], debiased) == pytest.approx(ECE[case], abs=1e-9)
    assert bounds.centre == (debiased if bounds.low > 0 else 0)


def test_an_ece_difference_has_the_reference_interval():
    one, two = bins(200, 0.05), bins(5000, 0.2)
    bounds = share.difference(binned.ece(one), binned.ece(two), 0.3)
    assert bounds[1:3] == pytest.approx((0.0817164812, 0.1933467804), abs=1e-9)


@pytest.mark.parametrize(
    ("p", "n", "ends"),
    [
        (0.001, 1000, (5.12933e-05, 0.0056425586)),
        (0, 10, (0.0, 0.2775327999)),
        (1, 20, (0.8388748419, 1.0)),
        (0.5, 7.3, (0.2064060746, 0.7935939254)),
        (0.02, 55.5, (0.0013128351, 0.0983412683)),
    ],
)
def test_wilson_s_interval_with_modified_ends_has_the_reference_ends(p, n, ends):
    assert [float(end) for end in share.wilson(p, n)] == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "ends"),
    [
        (0, 4, 200, (0.0, 0.0502870869)),
        (0, 0, 200, (-0.0188453264, 0.0188453264)),
        (100, 150, 10000, (0.0019157091, 0.0081543115)),
        (6, 15, 300, (0.0, 0.0635640924)),
        (3, 0, 50, (-0.1621709169, 0.0156284551)),
    ],
)
def test_a_paired_difference_has_the_reference_ends(lost, gained, n, ends):
    assert share.paired_difference(lost, gained, n)[1:3] == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize("lost", range(12))
@pytest.mark.parametrize("gained", range(12))
def test_a_paired_interval_excludes_zero_only_where_the_test_rejects(lost, gained):
    low, high = share.paired_difference(lost, gained, 200)[1:3]
    if mcnemar_p_values(lost, gained)[1] > 0.05:
        assert low <= 0 <= high


def test_a_mean_of_cells_has_the_reference_ends():
    wrong = np.sin(np.arange(500)) ** 8
    assert share.mean_of_cells(wrong)[1:3] == pytest.approx((0.6951590937, 0.7563055972), abs=1e-9)


@pytest.mark.parametrize("pseudo", [0.5, 5.0])
def test_a_mean_loss_of_zero_has_a_positive_upper_end(pseudo):
    value, low, high, _ = share.score_bounds(0.0, np.zeros(100), pseudo)
    assert (value, low) == (0, 0)
    assert 0 < high < pseudo


@pytest.mark.parametrize("errors", [1, 2])
def test_the_lower_end_of_a_mean_loss_of_few_errors_is_the_poisson_bound(errors):
    """One wrong image of 200 with a loss of 14: its rate may be 1 of 4,000 as well."""
    losses = np.append(np.full(errors, 14.0), np.full(200 - errors, 1e-6))
    bounds = share.score_bounds(losses.mean(), losses - losses.mean(), pseudo=8.0)
    share_of_errors = share.wilson(errors / 200, 200)[0]
    assert bounds.low == pytest.approx(14 * float(share_of_errors), rel=0.01)


@pytest.mark.parametrize("images", [200, 1000])
def test_the_l2_error_allows_for_images_in_bins_that_the_sample_has_none_of(images):
    """Few images of an accurate network lie outside its last bin, with large gaps."""
    bins = binned.Bins(*(np.array([0.0, sums]) for sums in (images, 0.9995 * images, images)))
    without, with_empty = binned.l2_error(bins.filled), binned.l2_error(bins)
    rarely_seen = np.sqrt(2 / images * 0.3**2)
    assert with_empty.low == without.low == 0
    assert without.high < rarely_seen < with_empty.high < 0.1


def test_a_debiased_error_of_zero_of_10_000_images_has_an_upper_end():
    random = np.random.default_rng(0)
    confidence = random.beta(9, 1, 10_000)
    correct = random.random(10_000) < confidence
    quantity = Quantity("ece_debiased_l2", "fraction", {}, "")
    statistic = equal_width_errors([quantity], confidence, correct, 10)
    (interval,) = statistic.intervals(0.95, lambda cost: 200)
    assert (statistic.values[0], interval.low) == (0, 0)
    assert 0.005 < interval.high < 0.03


def test_a_mean_over_five_cells_without_an_error_has_the_interval_of_one_cell():
    quantity = Quantity("mca", "fraction", {}, "")
    (of_mean,) = mean_of_cells([quantity], [np.ones(40)]).bounds(0.95)
    (of_cell,) = shares([quantity], [np.ones(40)]).bounds(0.95)
    assert (of_mean.value, of_mean.high) == (1, 1)
    assert of_mean.low == pytest.approx(of_cell.low, abs=0.005)


def test_the_ece_of_a_calibrated_network_of_1_000_images_is_not_told_from_zero():
    """The lower end inverts a test at 2.5 %; of 200 samples, it rejects in at most 14 (p .0002)."""
    random, rejected = np.random.default_rng(1), 0
    for _ in range(200):
        confidence = random.beta(9, 1, 1000)
        correct = random.random(1000) < confidence
        rejected += binned.ece(bin_sums(confidence, correct)).low > 0
    assert rejected <= 14


def test_the_lower_end_of_a_classwise_ece_holds_for_many_classes_of_few_images():
    """Where rare classes are more probable than predicted, single hits look like large gaps."""
    random, quantity = np.random.default_rng(0), Quantity("ece_classwise", "fraction", {}, "")
    logits = random.normal(0, 6, (20_000, 20))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    truth, above = classwise_ece(2 * logits, labels), 0
    for _ in range(20):
        rows = random.integers(len(labels), size=200)
        (ends,) = classwise_error(quantity, 2 * logits[rows], labels[rows], 10).bounds(0.95)
        assert 0 <= ends.low <= ends.value <= ends.high
        above += ends.low > truth
    assert above <= 1


def test_a_cross_fitted_end_does_not_count_noise_of_few_images_as_error():
    random = np.random.default_rng(1)
    noise = random.choice([-1.0, 1.0], (60, 200))
    assert np.abs(noise.mean(axis=0)).sum() > 15
    assert binned.cross_fitted_end(noise) < 5
    assert binned.cross_fitted_end(noise + 0.5) == pytest.approx(100, rel=0.25)
