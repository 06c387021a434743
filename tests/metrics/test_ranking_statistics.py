"""Rankings and risk–coverage curves as statistics: sums over images, ranges, reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdd_eval.evaluators.selective import CONVENTIONS
from sdd_eval.metrics.ranking import METRICS, ood_metrics
from sdd_eval.metrics.ranking_statistics import OTHER_METRICS, Rankings
from sdd_eval.metrics.selective import Cell, selective_metrics, selective_statistic
from sdd_eval.statistics.statistic import Quantity

#: Scores with many ties, whether each image is an inlier, or right, and how often it counts.
images = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4)), min_size=2, max_size=40
)


def quantity(metric, label=""):
    return Quantity(metric, "fraction", {"outliers": label}, "")


def rankings(inliers, metrics=tuple(METRICS), **outliers):
    """Rankings against each set of outliers, and the average."""
    groups = {**{name: (name,) for name in outliers}, "average": tuple(outliers)}
    return Rankings(dict.fromkeys(outliers, inliers), outliers, groups, metrics)


def selective(scores, correct):
    cell = Cell(np.asarray(scores, float), np.asarray(correct, bool))
    return selective_statistic([quantity(m) for m in CONVENTIONS if m in cell.values], [cell])


@settings(deadline=None, max_examples=100)
@given(images)
def test_ranking_metrics_are_functions_of_sums_over_images(drawn):
    scores, inside, counts = map(np.array, zip(*drawn, strict=True))
    repeated, flags = np.repeat(scores, counts), np.repeat(inside, counts)
    if not 0 < flags.sum() < len(flags):
        return
    statistic = rankings(scores[inside], far=scores[~inside]).statistic(OTHER_METRICS, quantity)
    weights = np.concatenate([counts[inside], counts[~inside]])[None].astype(np.float32)
    expected = ood_metrics(repeated[flags], repeated[~flags])
    result = statistic.sums(weights)[0, : len(OTHER_METRICS)]
    assert result == pytest.approx([expected[name] for name in OTHER_METRICS], abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(images)
def test_selective_metrics_are_functions_of_sums_over_images(drawn):
    scores, right, counts = map(np.array, zip(*drawn, strict=True))
    if counts.sum() == 0:
        return
    statistic = selective(scores, right)
    result = statistic.sums(counts[None].astype(np.float32))[0]
    names = [one.metric for one in statistic.quantities]
    defined = {n: x for n, x in zip(names, result, strict=True) if not np.isnan(x)}
    expected = selective_metrics(np.repeat(scores, counts), np.repeat(right, counts))
    assert defined == pytest.approx({n: expected[n] for n in names if n in expected}, abs=1e-12)


def require_interval_around(value, ends, highest=1.0):
    """Check an interval's range, and that it is not a point; a reason is accepted."""
    if isinstance(ends, str):
        assert ends
        return
    assert 0 <= ends.low <= value <= ends.high <= highest + 1e-12
    assert ends.low < ends.high


@settings(deadline=None, max_examples=60)
@given(images, st.sampled_from([0.5, 0.95, 0.99]))
def test_each_interval_contains_its_number_and_is_within_the_range_of_the_metric(drawn, level):
    scores, inside, _ = map(np.array, zip(*drawn, strict=True))
    if inside.all() or not inside.any():
        return
    a, b = scores[inside], scores[~inside]
    statistic = rankings(a, far=b, near=b + 1).statistic(tuple(METRICS), quantity)
    highest = {"detection_error": 0.5}
    highest["detection_error_by_counts"] = min(len(a), len(b)) / len(scores)
    for row in zip(
        statistic.quantities, statistic.values, statistic.level_bounds(level), strict=True
    ):
        require_interval_around(row[1], row[2], highest.get(row[0].metric, 1.0))
    statistic = selective(scores, inside)
    highest = {"augrc": 0.5, "aurc_excess": np.log(2)}
    for row in zip(
        statistic.quantities, statistic.values, statistic.level_bounds(level), strict=True
    ):
        require_interval_around(row[1], row[2], highest.get(row[0].metric, 1.0))


def test_means_over_sets_without_shared_images_have_narrower_intervals():
    random = np.random.default_rng(0)
    inliers, few = random.normal(1, 1, 5000), {f"set{i}": random.normal(0, 1, 50) for i in range(4)}

    def widths(statistic):
        return [ends.high - ends.low for ends in statistic.bounds(0.95)]

    *single, mean = widths(rankings(inliers, **few).statistic(["auroc"], quantity))
    assert mean == pytest.approx(np.mean(single) / 2, rel=0.1)
    many = {name: random.normal(0, 1, 50_000) for name in few}
    *single, mean = widths(rankings(inliers[:100], **many).statistic(["auroc"], quantity))
    assert mean == pytest.approx(np.mean(single), rel=0.05)


def test_a_mean_over_the_same_cells_has_the_interval_of_one_cell():
    random = np.random.default_rng(1)
    correct = random.random(300) < 0.8
    cell = Cell(random.normal(0, 1, 300) + correct, correct)
    for metric in CONVENTIONS:
        (one,), (mean,) = (
            selective_statistic([quantity(metric)], [cell] * k).level_bounds(0.95) for k in (1, 5)
        )
        if metric.startswith("coverage"):
            assert mean == "no method covers a mean of coverages at a risk"
        else:
            assert (mean.low, mean.high) == pytest.approx((one.low, one.high), abs=5e-3)


def test_a_cell_with_one_wrong_image_gives_no_auroc_interval_to_its_mean():
    random = np.random.default_rng(2)
    one_wrong = Cell(random.normal(0, 1, 100), np.arange(100) > 0)
    usual = Cell(random.normal(0, 1, 100), np.arange(100) > 20)
    statistic = selective_statistic([quantity("misclassification_auroc")], [usual, one_wrong])
    assert statistic.bounds(0.95) == ["fewer than 2 images are wrong"]
    assert statistic.influence is None


@pytest.mark.parametrize("metric", ["aurc", "augrc", "aurc_excess", "misclassification_auroc"])
def test_the_influence_of_an_image_is_the_derivative_by_its_weight(metric):
    random = np.random.default_rng(3)
    correct = random.random(400) < 0.8
    cell = Cell(random.normal(0, 1, 400) + correct, correct)
    influence = selective_statistic([quantity(metric)], [cell] * 2).influence()[:, 0]
    twice = []
    for image in range(400):
        order = np.append(np.arange(400), image)
        twice.append(selective_metrics(cell.scores[order], cell.correct[order])[metric])
    assert abs(np.corrcoef(influence, twice)[0, 1]) > 0.999


@pytest.mark.parametrize("right", [True, False])
def test_areas_of_a_single_image_have_the_interval_of_a_share_of_one_image(right):
    statistic = selective(np.array([0.5]), np.array([right]))
    aurc = statistic.level_bounds(0.95)[0]
    assert statistic.quantities[0].metric == "aurc"
    assert aurc.value == 1 - right
    assert aurc.high - aurc.low > 0.9
