"""Tests of two networks on the same images against SciPy, enumeration and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import (
    basic_interval,
    bootstrap_replicates,
    resample_counts,
)
from sdd_eval.statistics.hypothesis_tests import (
    holm_alpha,
    holm_bonferroni,
    mcnemar,
    permutations_needed,
)
from sdd_eval.statistics.sums import SumStatistic, paired_replicates, permutation_p_values

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(flags)
def test_exact_mcnemar_is_the_binomial_test_of_the_changed_images(pairs) -> None:
    first, second = map(np.array, zip(*pairs, strict=True))
    result = mcnemar(first, second)
    changed = result.gained + result.lost
    assert changed == (first != second).sum()
    coins = stats.binom(changed, 0.5)
    fewer = min(result.gained, result.lost)
    if changed:
        assert result.exact == pytest.approx(stats.binomtest(result.gained, changed).pvalue)
    assert result.mid_p == pytest.approx(2 * coins.cdf(fewer) - coins.pmf(fewer))


def test_mid_p_counts_half_the_probability_of_the_observed_counts() -> None:
    result = mcnemar([0] * 3 + [1], [1] * 3 + [0])  # 3 gained, 1 lost
    pmf = stats.binom.pmf(range(5), 4, 0.5)
    assert result.exact == pytest.approx(2 * (pmf[0] + pmf[1]))
    assert result.mid_p == pytest.approx(2 * (pmf[0] + pmf[1] / 2))
    assert mcnemar([0, 1], [1, 0]).mid_p == 1


def test_mcnemar_refuses_arrays_that_are_not_boolean_or_differ_in_length() -> None:
    with pytest.raises(InputError, match="one common shape"):
        mcnemar([0, 1], [1])
    with pytest.raises(InputError, match="0 or 1"):
        mcnemar([0, 2], [1, 0])


def test_holm_rejects_as_the_step_down_procedure() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        p = random.uniform(0, 0.2, 6).round(2)
        rejected = np.zeros(6, dtype=bool)
        for step, index in enumerate(np.argsort(p, kind="stable")):
            if p[index] > 0.05 / (6 - step):
                break
            rejected[index] = True
        assert np.array_equal(holm_bonferroni(p) <= 0.05 + 1e-12, rejected)


def test_holm_alpha_is_the_largest_rejected_p_value() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        p = random.uniform(0, random.choice([0.02, 0.1]), 6)
        for index, rejected in enumerate(holm_bonferroni(p) <= 0.05):
            others = np.delete(p, index)
            alpha = holm_alpha(others)
            assert rejected == (p[index] <= alpha)
            assert holm_bonferroni([*others, alpha])[-1] == pytest.approx(0.05)


def test_holm_refuses_values_that_are_not_p_values() -> None:
    with pytest.raises(InputError, match=r"1\.5 is not a p-value"):
        holm_bonferroni([0.5, 1.5])
    with pytest.raises(InputError, match="nan is not a p-value"):
        holm_bonferroni([np.nan])
    assert len(holm_bonferroni([])) == 0


def means(values) -> SumStatistic:
    """Means of per-image values (n,) or (n, rows)."""
    columns = np.asarray(values, dtype=np.float32).reshape(len(values), -1)
    return SumStatistic(columns, lambda sums: sums / len(columns), len(columns))


def test_a_permutation_swaps_all_values_of_an_image() -> None:
    """Return p-values of a non-linear statistic by enumeration of all swaps."""

    def product_of_means(values):
        columns = np.asarray(values, dtype=np.float32)
        return SumStatistic(columns, lambda sums: (sums / 6).prod(axis=1, keepdims=True), 6)

    random = np.random.default_rng(2)
    first, second = random.normal(1, 1, (6, 2)), random.normal(2, 1, (6, 2))
    differences = []
    for swap in itertools.product((False, True), repeat=6):
        swapped = np.array(swap)[:, None]
        one, other = np.where(swapped, second, first), np.where(swapped, first, second)
        differences.append(other.mean(axis=0).prod() - one.mean(axis=0).prod())
    exact = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-6)
    sides = product_of_means(first), product_of_means(second)
    assert sides[1].values - sides[0].values == pytest.approx(differences[0], rel=1e-5)
    (result,), _ = permutation_p_values(*sides, 20_000, max_exceedances=20_000)
    assert result == pytest.approx(exact, abs=0.015)


def test_a_difference_larger_than_all_permuted_ones_has_the_smallest_p_value() -> None:
    (result,), _ = permutation_p_values(means([0.0] * 40), means([1.0] * 40), 999)
    assert result == 1 / 1000


def test_undefined_permuted_values_count_against_a_difference() -> None:
    def only_unswapped(values):
        """The mean of equal values, undefined where images of both sides are mixed."""
        columns = np.asarray(values, dtype=np.float32)[:, None]
        return SumStatistic(columns, lambda sums: np.where(sums % 20 == 0, sums / 20, np.nan), 20)

    (result,), _ = permutation_p_values(
        only_unswapped([0.0] * 20), only_unswapped([1.0] * 20), 99, max_exceedances=99
    )
    assert result == 1.0


def test_permutation_p_values_of_equal_networks_are_uniform_enough() -> None:
    random = np.random.default_rng(3)
    result = []
    for seed in range(300):
        first, second = random.exponential(size=(2, 30, 2))
        result.append(
            permutation_p_values(means(first), means(second), 199, max_exceedances=199, seed=seed)[
                0
            ]
        )
    rejected = (np.array(result) <= 0.05).mean()
    assert np.array(result).shape == (300, 2)
    assert 0.03 < rejected < 0.08


@pytest.mark.parametrize("family", [1, 7, 100])
def test_the_smallest_p_value_is_below_the_smallest_threshold_of_holm(family) -> None:
    count = permutations_needed(family)
    assert holm_bonferroni([50 / (count + 1)] + [1.0] * (family - 1))[0] <= 0.05 + 1e-12
    assert holm_bonferroni([50 / count] + [1.0] * (family - 1))[0] > 0.05
    with pytest.raises(InputError, match="family of 0 tests"):
        permutations_needed(0)


def test_both_sides_of_a_paired_bootstrap_use_the_same_resamples() -> None:
    random = np.random.default_rng(4)
    images = random.normal(0, 10, 300)  # what both networks find hard
    first, second = images, images + random.normal(0.5, 1, 300)
    ((one, two),) = paired_replicates([(means(first), means(second))], 1000)
    result = two - one
    by_hand = bootstrap_replicates(lambda weights: weights @ (second - first) / 300, 300, 1000)
    assert result[:, 0] == pytest.approx(by_hand, abs=1e-5)
    interval = basic_interval(float((second - first).mean()), result[:, 0])
    half = 1.96 * (second - first).std() / np.sqrt(300)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_sets_of_images_are_resampled_independently() -> None:
    (both,) = resample_counts((5, 8), 20, seed=3)
    (alone,) = resample_counts(5, 20, seed=3)
    assert np.array_equal(both[:, :5], alone)
    assert (both[:, 5:].sum(axis=1) == 8).all()
    assert len({tuple(row) for row in both[:, 5:]}) > 10


def test_sides_of_different_images_are_refused() -> None:
    with pytest.raises(InputError, match="different images"):
        permutation_p_values(means([1, 2]), means([1]), 99)
    with pytest.raises(InputError, match="different images"):
        paired_replicates([(means([1, 2]), means([1]))])
    with pytest.raises(InputError, match="at least 1 of each"):
        list(resample_counts((3, 0)))
