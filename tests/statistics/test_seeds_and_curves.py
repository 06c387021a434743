from __future__ import annotations

import math

import numpy as np
import pytest

from sdd_eval.statistics.curves import at_rates, roc
from sdd_eval.statistics.seeds import difference, spread


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    found = spread([0.90, 0.92, 0.97])
    assert found.mean == pytest.approx(0.93)
    assert found.std == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert found.n == 3


def test_one_value_has_no_standard_deviation_and_none_has_no_mean() -> None:
    assert math.isnan(spread([0.5]).std)
    assert math.isnan(spread([]).mean)


def test_equal_values_have_a_standard_deviation_of_exactly_zero() -> None:
    assert spread([0.2, 0.2, 0.2]).std == 0.0


def test_welch_interval_is_that_of_scipy() -> None:
    from scipy.stats import ttest_ind

    first, second = [1.0, 2.0, 3.0], [3.0, 5.0, 8.0, 6.0]
    found = difference(first, second)
    theirs = ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(3.5)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.excludes_zero == (theirs.low > 0)


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng((3, 1))
    pairs = random.normal(0, 1, (1500, 2, 4)) * np.array([[1.0], [2.0]])
    inside = [d.low <= 0 <= d.high for d in (difference(a, b) for a, b in pairs)]
    assert 0.93 < np.mean(inside) < 0.975


def test_a_single_seed_has_no_interval() -> None:
    found = difference([1.0], [2.0, 3.0])
    assert found.value == 1.5
    assert math.isnan(found.low)
    assert not found.excludes_zero


def test_the_area_below_the_roc_curve_counts_ties_half() -> None:
    inside, outside = [0.9, 0.5, 0.5], [0.5, 0.1]
    false_positive, true_positive = roc(inside, outside)
    pairs = [(i > o) + 0.5 * (i == o) for i in inside for o in outside]
    middles = (true_positive[1:] + true_positive[:-1]) / 2
    assert np.diff(false_positive) @ middles == pytest.approx(np.mean(pairs))
    assert (false_positive[0], true_positive[0]) == (0, 0)
    assert (false_positive[-1], true_positive[-1]) == (1, 1)


def test_a_vertical_stretch_of_the_curve_is_read_at_its_upper_end() -> None:
    false_positive, true_positive = roc([3.0, 2.0, 1.0], [1.5, 0.5])
    heights = at_rates(false_positive, true_positive, np.array([0.0, 0.25, 0.5, 1.0]))
    assert heights == pytest.approx([2 / 3, 2 / 3, 1, 1])
