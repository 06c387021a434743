"""Summaries, Welch tests and intervals over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import basic_interval, resample_counts
from sdd_eval.statistics.seeds import (
    difference,
    minimum_detectable_difference,
    required_seeds,
    seeds_and_images,
    summarize_seeds,
)


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    result = summarize_seeds([0.90, 0.92, 0.97])
    assert result.mean == pytest.approx(0.93)
    assert result.std == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert result.n == 3


def test_one_value_has_no_standard_deviation_and_no_value_has_no_mean() -> None:
    assert math.isnan(summarize_seeds([0.5]).std)
    assert math.isnan(summarize_seeds([]).mean)


def test_equal_values_have_a_standard_deviation_of_exactly_zero() -> None:
    assert summarize_seeds([0.2, 0.2, 0.2]).std == 0.0


def test_the_welch_interval_equals_that_of_scipy() -> None:
    from scipy.stats import ttest_ind

    first, second = [1.0, 2.0, 3.0], [3.0, 5.0, 8.0, 6.0]
    result = difference(first, second)
    theirs = ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert result.value == pytest.approx(3.5)
    assert (result.low, result.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_covers_the_true_difference_at_its_level() -> None:
    random = np.random.default_rng((3, 1))
    pairs = random.normal(0, 1, (1500, 2, 4)) * np.array([[1.0], [2.0]])
    inside = [d.low <= 0 <= d.high for d in (difference(a, b) for a, b in pairs)]
    assert 0.93 < np.mean(inside) < 0.975


def test_a_single_seed_has_no_interval() -> None:
    result = difference([1.0], [2.0, 3.0])
    assert result.value == 1.5
    assert math.isnan(result.low)
    assert math.isnan(result.high)


def test_the_welch_p_value_equals_that_of_scipy_and_agrees_with_the_interval() -> None:
    from scipy.stats import ttest_ind

    first, second = [1.0, 2.0, 3.0], [3.0, 5.0, 8.0, 6.0]
    result = difference(first, second)
    assert result.p == pytest.approx(ttest_ind(second, first, equal_var=False).pvalue)
    at_its_own_level = difference(first, second, level=1 - result.p)
    assert at_its_own_level.low == pytest.approx(0, abs=1e-9)
    assert math.isnan(difference([1.0], [2.0, 3.0]).p)


def test_seeds_without_spread_give_no_interval() -> None:
    result = difference([1.0, 1.0], [2.0, 2.0])
    assert result.value == 1
    assert math.isnan(result.low)
    assert math.isnan(result.high)
    assert all(map(math.isnan, (result.low, result.high, result.p)))
    assert difference([1.0, 1.0], [2.0, 2.5]).p < 1, "one side with spread will do"


def test_the_smallest_detectable_difference_is_detected_with_the_stated_power() -> None:
    """Equal spreads and seeds a side: ν is nearly 2n − 2, and power is that of a t test."""
    from scipy.stats import ttest_ind

    values = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # n = 5, known spread below
    size = minimum_detectable_difference(values, values)
    random = np.random.default_rng(7)
    std = values.std(ddof=1)
    first, second = random.normal(0, std, (2, 4000, 5))
    result = ttest_ind(second + size, first, axis=1, equal_var=False).pvalue < 0.05
    assert result.mean() == pytest.approx(0.8, abs=0.025)


def test_more_seeds_detect_smaller_differences_and_one_seed_none() -> None:
    few, many = [0.0, 1.0], [0.0, 1.0] * 8
    assert minimum_detectable_difference(many, many) < minimum_detectable_difference(few, few) / 3
    assert math.isnan(minimum_detectable_difference([1.0], few))
    assert math.isnan(minimum_detectable_difference([1.0, 1.0], [2.0, 2.0]))


def flags_of_seeds(random, seeds: int, images: int, spread_of_seeds: float) -> np.ndarray:
    """Right or wrong (seeds, images): images of their own difficulty, seeds of their own skill."""
    difficulty = 0.7 + 0.2 * np.tanh(random.normal(0, 1, images))
    skill = random.normal(0, spread_of_seeds, (seeds, 1))
    return (random.random((seeds, images)) < difficulty + skill).astype(float)


@pytest.mark.parametrize("spread_of_seeds", [0.0, 0.05])
def test_intervals_over_seeds_and_images_cover_the_difference_of_equal_methods(
    spread_of_seeds,
) -> None:
    random = np.random.default_rng(11)
    weights = np.concatenate(list(resample_counts(200, 300))) / 200
    inside = []
    for trial in range(300):
        both = flags_of_seeds(random, 6, 200, spread_of_seeds)
        first, second = both[:3], both[3:]
        result = seeds_and_images(
            first.mean(axis=1),
            weights @ first.T,
            second.mean(axis=1),
            weights @ second.T,
            seed=trial,
        )
        inside.append(result.low <= 0 <= result.high)
    assert 0.92 < np.mean(inside) <= 0.99


def test_without_spread_over_seeds_the_interval_is_that_over_images() -> None:
    """With equal seeds the interval is the paired one of one network per side."""
    random = np.random.default_rng(12)
    weights = np.concatenate(list(resample_counts(300, 2000))) / 300
    one, other = random.normal(0, 1, 300), random.normal(0.2, 1, 300)
    sides = [np.tile(values, (3, 1)) for values in (one, other)]
    result = seeds_and_images(
        sides[0].mean(axis=1), weights @ sides[0].T, sides[1].mean(axis=1), weights @ sides[1].T
    )
    paired = basic_interval(other.mean() - one.mean(), weights @ (other - one))
    assert (result.low, result.high) == pytest.approx((paired.low, paired.high))


def test_intervals_over_seeds_and_images_need_two_seeds_per_side_and_replicates() -> None:
    with pytest.raises(InputError, match="1 and 2 seeds; at least 2"):
        seeds_and_images([0.5], np.ones((9, 1)), [0.5, 0.5], np.ones((9, 2)))
    with pytest.raises(InputError, match="do not match 2 and 2 seeds"):
        seeds_and_images([0.5, 0.4], np.ones((9, 1)), [0.5, 0.5], np.ones((9, 2)))


def test_the_required_seeds_have_the_power_that_they_promise():
    a, b = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    random = np.random.default_rng(0)
    for change, seeds in ((1.0, 17), (0.5, 64)):
        assert required_seeds(a, b, change) == seeds
        first, second = random.normal(0, 1, (4000, seeds)), random.normal(change, 1, (4000, seeds))
        p = ttest_ind(first, second, axis=1, equal_var=False).pvalue
        assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.03)
    assert required_seeds(a, b, 0.0) is None
    assert required_seeds([1.0, 1.0], [2.0, 2.0], 1.0) is None
    assert required_seeds(a, b, 1e-9) is None
