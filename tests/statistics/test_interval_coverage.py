"""Simulated: how often does each 95 % interval hold the truth? Run with `pytest -m slow`.

A trial draws images from a population whose numbers are known, from a sample of it so large that
its own chance is nothing beside an interval. The truths are at least twice what chance alone would
leave, as no interval of an error that cannot go below 0 covers evenly close to it.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sdd_eval.metrics.weighted_calibration import (
    weighted_adaptive_ece,
    weighted_bin_confidence,
    weighted_classwise_ece,
    weighted_equal_width_errors,
    weighted_smooth_ece,
)

from sdd_eval.comparison.statistic import calibration_errors
from sdd_eval.evaluators.calibration import FEWEST_IN_A_BIN
from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.evaluators.temperature import interval_of
from sdd_eval.metrics.calibrated_floor import ece_floor
from sdd_eval.metrics.calibration import (
    adaptive_ece,
    bin_sums,
    classwise_ece,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece_of_bins,
    reliability_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll_per_image
from sdd_eval.metrics.ranking import operating_points
from sdd_eval.metrics.selective import COVERAGE_RISKS, selective_metrics
from sdd_eval.metrics.smooth_ece import smooth_ece
from sdd_eval.metrics.temperature import fit_temperature
from sdd_eval.statistics.bootstrap import basic_interval, bootstrap_means, weighted_mean
from sdd_eval.statistics.intervals import coverage_interval, wilson_interval
from sdd_eval.statistics.sums import SumStatistic, bootstrap_differences

pytestmark = pytest.mark.slow

TRIALS, RESAMPLES, IMAGES, BINS = 300, 300, 1000, 10
INTERVALS = Intervals(resamples=RESAMPLES)
LARGE = 400_000


def holds(interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def check(inside) -> None:
    """Each kind of interval, by name, held the truth in 90 to 98 % of the trials."""
    shares = {name: float(np.mean(each)) for name, each in inside.items()}
    print({name: round(share, 3) for name, share in shares.items()})
    assert all(0.90 <= share <= 0.98 for share in shares.values()), shares


def overconfident(random, n: int, sharpness: float = 2.2):
    """Logits (n, 4) of a network that is surer than it is right, and labels."""
    truthful = random.normal(0, 1.5, (n, 4))
    chances = softmax(truthful, axis=1).cumsum(axis=1)
    labels = (random.random((n, 1)) > chances).sum(axis=1).clip(0, 3)
    return sharpness * truthful, labels


def calibration_numbers(logits, labels):
    confidence, correct = confidence_and_correct(logits, labels)
    sums = bin_sums(confidence, correct, BINS)
    return {
        "ece": float(ece_of_bins(sums)),
        "ece_debiased": float(debiased_ece_of_bins(sums)),
        "ece_debiased_l2": float(debiased_l2_of_bins(sums)),
        "ece_adaptive": adaptive_ece(confidence, correct, BINS),
        "ece_classwise": classwise_ece(logits, labels, BINS),
        "ece_smooth": smooth_ece(confidence, correct),
        "nll": float(nll_per_image(logits, labels).mean()),
        "brier": float(brier_per_image(logits, labels).mean()),
    }


def calibration_replicates(logits, labels):
    confidence, correct = confidence_and_correct(logits, labels)
    of = {
        "ece_adaptive": weighted_adaptive_ece(confidence, correct, BINS),
        "ece_classwise": weighted_classwise_ece(logits, labels, BINS),
        "ece_smooth": weighted_smooth_ece(confidence, correct),
        "nll": weighted_mean(nll_per_image(logits, labels)),
        "brier": weighted_mean(brier_per_image(logits, labels)),
    }
    widths = INTERVALS.replicates(
        weighted_equal_width_errors(confidence, correct, BINS), len(labels), 1
    )
    found = dict(zip(("ece", "ece_debiased", "ece_debiased_l2"), widths.T, strict=True))
    return found | {name: INTERVALS.replicates(make, len(labels), 1) for name, make in of.items()}


def test_intervals_of_calibration() -> None:
    truth = calibration_numbers(*overconfident(np.random.default_rng(0), LARGE))
    random = np.random.default_rng(1)
    inside = {name: [] for name in truth}
    for _ in range(TRIALS):
        logits, labels = overconfident(random, IMAGES)
        numbers, found = calibration_numbers(logits, labels), calibration_replicates(logits, labels)
        for name, value in numbers.items():
            interval = basic_interval(value, found[name], lowest=0)
            inside[name].append(holds(interval, truth[name]))
    confidence, _ = confidence_and_correct(logits, labels)
    assert truth["ece"] > 2 * ece_floor(confidence, BINS).mean
    check(inside)


def test_wilson_intervals_of_accuracy() -> None:
    random = np.random.default_rng(2)
    for share in (0.5, 0.9, 0.98):
        hits = random.binomial(500, share, 2000)
        check({f"accuracy {share}": [holds(wilson_interval(int(k), 500), share) for k in hits]})


def selective_sample(random, n: int, slope: float = 1.5, easy: float = 1.2):
    sure = random.normal(0, 1, n)
    return sure, random.random(n) < 1 / (1 + np.exp(-slope * sure - easy))


@pytest.mark.parametrize("images", [1000, 4000])
def test_intervals_of_coverages_at_a_risk(images) -> None:
    """Where some wrong images are among those accepted; with less than one it is 98 %."""
    random = np.random.default_rng(7)
    truth = selective_metrics(*selective_sample(random, 4 * LARGE, 2.5, 2.0))
    held = {name: [] for name in COVERAGE_RISKS}
    for _ in range(4 * TRIALS):
        sure, right = selective_sample(random, images, 2.5, 2.0)
        at = operating_points(sure[right], sure[~right])
        for name, risk in COVERAGE_RISKS.items():
            interval = coverage_interval(at.inliers + at.outliers, at.outliers, risk, images)
            held[name].append(holds(interval, truth[name]))
    check(held)


def test_intervals_of_fitted_temperatures() -> None:
    truth = fit_temperature(*overconfident(np.random.default_rng(0), LARGE)).value
    random, held = np.random.default_rng(8), {}
    for images in (100, IMAGES):
        fitted = [fit_temperature(*overconfident(random, images)) for _ in range(TRIALS)]
        intervals = [interval_of(each.value, each.error, 0.95) for each in fitted]
        held[f"T {images}"] = [holds(interval, truth) for interval in intervals]
    check(held)


def test_intervals_of_a_bins_mean_confidence() -> None:
    """From twenty images on; no bin is left out of the intervals for being small on average."""
    confidence, correct = confidence_and_correct(*overconfident(np.random.default_rng(0), LARGE))
    truth = reliability_bins(confidence, correct, BINS)
    random, held = np.random.default_rng(9), {f"bin {i}": [] for i in range(3, BINS)}
    for _ in range(TRIALS):
        confidence, correct = confidence_and_correct(*overconfident(random, IMAGES))
        own = reliability_bins(confidence, correct, BINS)
        found = INTERVALS.replicates(weighted_bin_confidence(confidence, BINS), IMAGES, 1)
        for i in np.flatnonzero(own.count >= FEWEST_IN_A_BIN):
            interval = basic_interval(own.confidence[i], found[:, i])
            held[f"bin {i}"].append(holds(interval, truth.confidence[i]))
    check(held)


def test_intervals_over_renderings_of_the_same_images() -> None:
    """Mean accuracy over 75 renderings that are right and wrong together (mCA)."""
    random = np.random.default_rng(5)
    severity = np.linspace(-1, 2, 75)

    def flags(n):
        ease = random.normal(1, 1.5, (n, 1))
        return random.random((n, 75)) < 1 / (1 + np.exp(severity - ease))

    truth, held = float(flags(200_000).mean()), {"mca": []}
    for _ in range(TRIALS):
        means = flags(300).mean(axis=1)
        held["mca"].append(
            holds(basic_interval(means.mean(), bootstrap_means(means, RESAMPLES)), truth)
        )
    check(held)


def mean_of_sums(values) -> SumStatistic:
    """The mean of per-image values as a number of their sum."""
    return SumStatistic(
        values[:, None].astype(np.float32), lambda sums: sums / len(values), len(values)
    )


def test_intervals_of_paired_differences() -> None:
    """Two networks on the same images, the second less overconfident and otherwise alike."""
    random = np.random.default_rng(6)

    def both(n):
        logits, labels = overconfident(random, n)
        return logits, logits / 1.6 + random.normal(0, 0.3, logits.shape), labels

    def difference(make, first, second, labels):
        return make(second, labels) - make(first, labels)

    large = both(LARGE)
    makers = {
        "ece": lambda *of: calibration_numbers(*of)["ece"],
        "nll": lambda *of: float(nll_per_image(*of).mean()),
        "accuracy": lambda *of: float(confidence_and_correct(*of)[1].mean()),
    }
    truth = {name: difference(make, *large) for name, make in makers.items()}
    held = {name: [] for name in makers}
    for _ in range(TRIALS):
        first, second, labels = both(IMAGES)
        sides = [confidence_and_correct(side, labels) for side in (first, second)]
        pairs = {
            "ece": [calibration_errors(c[:, None], r[:, None], BINS) for c, r in sides],
            "nll": [mean_of_sums(nll_per_image(side, labels)) for side in (first, second)],
            "accuracy": [mean_of_sums(right) for _, right in sides],
        }
        found = bootstrap_differences(list(pairs.values()), RESAMPLES)
        for (name, (base, other)), each in zip(pairs.items(), found, strict=True):
            interval = basic_interval(float(other.values[0] - base.values[0]), each[:, 0])
            held[name].append(holds(interval, truth[name]))
    check(held)
