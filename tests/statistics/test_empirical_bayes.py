"""What many noisy means are without their noise, where one of them would not tell."""

import numpy as np
import pytest

from sdd_eval.statistics.empirical_bayes import debiased_absolute, sum_of_absolute_means


@pytest.mark.parametrize(
    ("truth", "within"), [(0, 0.2), (0.5, 0.08), (1, 0.08), (1.6, 0.08), (30, 0.08)]
)
def test_the_sum_is_near_the_truth_for_all_means(truth, within):
    """Of what noise adds to 0, which is .8, a quarter is left."""
    random = np.random.default_rng(0)
    signs = np.where(random.random(4000) < 0.7, 1, -1)
    found = sum_of_absolute_means(random.normal(truth * signs, 1), np.ones(4000)) / 4000
    assert found == pytest.approx(truth, abs=within)


def test_noise_of_several_sizes_is_modelled():
    random = np.random.default_rng(1)
    noise = np.repeat([0.1, 1.0], 3000)
    truth = np.repeat([1.0, 2.0], 3000)
    found = sum_of_absolute_means(random.normal(truth, noise), noise)
    assert found == pytest.approx(truth.sum(), rel=0.05)


def test_without_noise_it_is_the_plain_sum():
    assert sum_of_absolute_means([-1.0, 2.0, 0.0], np.zeros(3)) == 3.0
    assert sum_of_absolute_means([[-1.0, 1000.0]], [[0.0, 1e-3]]) == pytest.approx(1001, rel=1e-4)


def test_far_means_keep_their_size_and_near_ones_lose_what_noise_adds():
    means = np.array([-500.0, 0.5])
    expected = np.abs(np.random.default_rng(2).normal(0.5, 1, 200_000)).mean()
    found = debiased_absolute(means, np.ones(2))
    assert found == pytest.approx([500.0, 1.0 - expected], abs=0.01)
