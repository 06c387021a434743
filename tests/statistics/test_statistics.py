"""Each statistic has one definition: weighting an image equals repeating it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdd_eval.arrays import Array, Arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.calibration import calibration_errors
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.selective import confidence_scores
from sdd_eval.statistics.statistic import Quantity, means, shares, unpaired

IMAGES, CLASSES = 80, 6


@pytest.fixture(scope="module")
def logits():
    random = np.random.default_rng(0)
    labels = random.integers(CLASSES, size=IMAGES)
    logits = random.normal(0, 2, (IMAGES, CLASSES)).astype(np.float32)
    logits[np.arange(IMAGES), labels] += 2
    return np.round(logits, 1), labels  # rounded, so that scores have ties


def of_classifier(logits, labels):
    """The statistics of all evaluators that need logits alone."""
    _, correct = confidence_and_correct(logits, labels)
    yield from Accuracy().statistics(Arrays.of({"logits": logits, "labels": labels}))
    yield from calibration_errors(logits, labels, 10, "T = 1", {})
    scores = {"correct": correct, "scores": confidence_scores(logits)}
    yield from Selective().statistics(Arrays.of(scores))


def of_detector(inside, outside):
    at = {"detector": "msp"}
    scores = [
        Array("scores", inside, at=at),
        Array("scores", outside, at={**at, "outliers": "set"}),
    ]
    return list(Ood(detectors=("msp",)).statistics(Arrays(scores)))


def tolerance(metric):
    """Rank statistics are exact; the smooth ECE's grid is coarser, and sums are of float32."""
    return 1e-2 if metric == "ece_smooth" else 1e-5


def require_equal(statistics, repeated, weights):
    """The weighted statistics are those of the repeated images."""
    statistics, repeated = list(statistics), list(repeated)
    assert not all(one.untested for one in statistics)
    for one, again in zip(statistics, repeated, strict=True):
        if one.untested:
            continue
        weighted = one.sums(weights)[0]
        for quantity, value, expected in zip(one.quantities, weighted, again.values, strict=True):
            limit = tolerance(quantity.metric)
            assert value == pytest.approx(expected, abs=limit, nan_ok=True), quantity.metric


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_weights_of_a_classifiers_images_count_like_repetitions(logits, seed):
    # the number of images is kept, as in a resample
    rows = np.random.default_rng(seed).integers(IMAGES, size=IMAGES)
    weights = np.bincount(rows, minlength=IMAGES)[None].astype(np.float32)
    values, labels = logits
    require_equal(of_classifier(values, labels), of_classifier(values[rows], labels[rows]), weights)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_weights_of_inliers_and_outliers_count_like_repetitions(seed):
    random = np.random.default_rng(seed)
    inside, outside = np.round(random.normal(1, 1, 50), 1), np.round(random.normal(0, 1, 30), 1)
    rows, others = random.integers(50, size=50), random.integers(30, size=30)
    counts = [np.bincount(rows, minlength=50), np.bincount(others, minlength=30)]
    weights = np.concatenate(counts)[None].astype(np.float32)
    require_equal(of_detector(inside, outside), of_detector(inside[rows], outside[others]), weights)


def test_an_interval_holds_its_estimate_and_stays_in_the_range(logits):
    for statistic in of_classifier(*logits):
        intervals = statistic.intervals(0.95, lambda cost: 200)
        for quantity, value, interval in zip(
            statistic.quantities, statistic.values, intervals, strict=True
        ):
            if statistic.untested:
                continue
            if np.isnan(interval.low):
                assert interval.method.startswith("none: "), quantity.metric
                continue
            assert statistic.lowest <= interval.low <= value, quantity.metric
            assert value <= interval.high <= statistic.highest, quantity.metric
            assert interval.high > interval.low, quantity.metric


def test_a_statistic_without_sums_raises_a_clear_error():
    number = unpaired(Quantity("largest", "number", {}, ""), 3.0, "it is a maximum")
    assert number.untested == "it is a maximum"
    assert np.isnan(number.intervals(0.95, lambda cost: 200)[0].low)
    with pytest.raises(ValueError, match="largest is not a function of sums"):
        number.sums  # noqa: B018


def test_only_a_pseudo_loss_gives_a_mean_of_equal_values_a_bootstrap_interval_of_positive_width():
    quantity = Quantity("loss", "nats", {}, "")
    (plain,) = means([quantity], [np.full(50, 0.2)]).intervals(0.95, lambda cost: 200)
    (pseudo,) = means([quantity], [np.full(50, 0.2)], pseudo_losses=[2.0]).intervals(
        0.95, lambda cost: 200
    )
    assert plain.high - plain.low < 1e-6
    assert pseudo.low < 0.2 < pseudo.high


def test_shares_of_0_and_1_have_intervals_of_positive_width():
    quantities = [Quantity(name, "fraction", {}, "") for name in ("none", "all")]
    statistic = shares(quantities, [np.zeros(20, bool), np.ones(20, bool)])
    none, everything = statistic.intervals(0.95, lambda cost: 200)
    assert (none.low, everything.high) == (0, 1)
    assert none.high == pytest.approx(1 - everything.low)
    assert 0.1 < none.high < 0.2


def test_an_evaluator_without_statistics_is_an_error_that_names_it():
    class Empty(Evaluator):
        name = "empty"

    with pytest.raises(InputError, match="Empty has no method `statistics`"):
        Empty().score({})
