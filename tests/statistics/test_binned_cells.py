"""Intervals of the mean ECE over cells of the same images."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import beta

from sdd_eval.metrics.calibration import bin_index
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.binned_cells import Cells, mean_ece

BINS = 10


def rendered(random, n, cells, over=0.0, correlation=0.5):
    """Draw cells whose confidences exceed the probability of being right by `over`."""

    def latent():
        shared, own = random.normal(size=(n, 1)), random.normal(size=(n, cells))
        return ndtr(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)

    probability = np.clip(beta.ppf(latent(), 2, 2), 0.1, 1)
    correct, confidence = latent() < probability, np.clip(probability + over, 0.1, 1 - 1e-6)
    return cells_of(confidence, correct)


def cells_of(confidence, correct):
    index = bin_index(confidence.ravel(), BINS).reshape(confidence.shape)
    return Cells(correct, correct - confidence, index, BINS)


def test_the_value_is_the_mean_of_the_ECEs_of_the_cells():
    cells = rendered(np.random.default_rng(0), 100, 3, over=0.1)
    singles = [mean_ece(cells, [cell]).value for cell in range(3)]
    assert mean_ece(cells, range(3)).value == pytest.approx(np.mean(singles), abs=1e-12)


def test_the_interval_of_a_mean_over_equal_cells_is_nearly_that_of_one_cell():
    random = np.random.default_rng(1)
    confidence = np.repeat(random.uniform(0.5, 1, size=(500, 1)), 8, axis=1)
    correct = np.repeat(random.random((500, 1)) < confidence[:, :1] - 0.2, 8, axis=1)
    cells = cells_of(confidence, correct)
    right = np.bincount(cells.index[:, 0], correct[:, 0], minlength=BINS)
    sums = np.bincount(cells.index[:, 0], confidence[:, 0], minlength=BINS)
    one = binned.ece(binned.Bins(cells.count[0], sums, right))
    of_mean = mean_ece(cells, range(8))
    assert of_mean.low == pytest.approx(one.low, abs=0.012)
    assert of_mean.high == pytest.approx(one.high, abs=0.012)


def test_the_interval_becomes_narrower_with_cells_that_are_hardly_correlated():
    widths = []
    for correlation in (0.05, 0.95):
        cells = rendered(np.random.default_rng(2), 300, 20, over=0.15, correlation=correlation)
        bounds = mean_ece(cells, range(20))
        widths.append(bounds.high - bounds.low)
    assert widths[0] < 0.6 * widths[1]


@pytest.mark.parametrize("correlation", [0.5, 0.9])
@pytest.mark.parametrize("over", [0.0, 0.05, 0.15])
def test_intervals_contain_the_error_of_the_population(over, correlation):
    """Of 40 samples, at most 5 may miss; an interval that covers .95 does so in 99.7 %."""
    population = rendered(np.random.default_rng(3), 20_000, 10, over, correlation)
    truth = mean_ece(population, range(10)).value
    random, inside = np.random.default_rng(4), []
    for _ in range(40):
        rows = random.integers(20_000, size=200)
        sample = Cells(
            population.correct[rows], population.residuals[rows], population.index[rows], BINS
        )
        bounds = mean_ece(sample, range(10))
        assert bounds.low <= bounds.value <= bounds.high
        inside.append(bounds.low <= truth <= bounds.high)
    assert sum(inside) >= 35


def test_cells_without_a_wrong_image_have_an_interval_that_includes_0():
    cells = cells_of(np.full((50, 5), 0.99), np.ones((50, 5), dtype=bool))
    bounds = mean_ece(cells, range(5))
    assert bounds.value == pytest.approx(0.01)
    assert bounds.low == 0
    assert bounds.high > 0.02
