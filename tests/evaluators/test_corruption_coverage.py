"""Coverage of intervals of means over corruptions of the same images.

The mean of many ECEs varies less than each, and what chance adds to it does not average out: here
the truth is twice the floor that chance leaves, and the basic bootstrap would hold it too seldom.
"""

import numpy as np
import pytest

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.corruption.cell_metrics import (
    Source,
    baseline_statistics,
    cell_statistics,
    measured_cells,
)
from sdd_eval.evaluators.evaluator import Intervals, measurements
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.corruption import FIFTEEN

SEVERITIES = (1, 2, 3, 4, 5)
METRICS = (
    "mca",
    "mean_corruption_error",
    "relative_mean_corruption_error",
    "ece",
    "ece severity 3",
    "ece contrast",
)
#: Few, since every trial has its own.
FEW = Intervals(resamples=300)


def population(random, n, gain=0.0):
    """Return correctness of two networks on renderings that share the difficulty of their image.

    Confidence exceeds the chance of being right, by more the stronger the corruption.
    """
    hard = random.normal(0, 1, n)
    result = []
    for lead in (gain, 0.0):
        entries = []
        for index, name in enumerate(("", *FIFTEEN)):
            severities = np.array(SEVERITIES if index else (0,))
            loss = severities * (0.15 + 0.02 * index)
            noise = random.normal(0, 0.5, (n, len(severities)))
            sure = 1 / (1 + np.exp(-(1.5 - loss - hard[:, None] + noise)))
            chance = np.clip(sure - 0.055 - 0.02 * severities + lead, 0, 1)
            correct = random.random(sure.shape) < chance
            for kind, values in (("correct", correct), ("confidence", sure.astype(np.float32))):
                at, axes = {"corruption": name} if index else {}, ("images", "severity")
                entries.append(
                    Array(kind, values, axes, at) if index else Array(kind, values[:, 0])
                )
        result.append(Arrays(entries))
    return result


def cells_of(arrays):
    """Return confidences and correctness of each cell."""
    tables = (arrays.along(kind, "corruption") for kind in ("confidence", "correct"))
    sure, correct = (
        {cell: table[cell[0]][:, cell[1] - 1] for cell in measured_cells(arrays)}
        for table in tables
    )
    return [(sure[cell], correct[cell]) for cell in sure]


def measured(own, base):
    """The means over the 15, each with its interval."""
    source = Source("official", "official")
    statistics = [
        *cell_statistics(own, source, 10),
        *baseline_statistics(own, {"base": base}, source),
    ]
    result = {}
    for m in measurements(statistics, FEW):
        of, severity = m.at.get("corruption"), m.at.get("severity")
        if of in (None, "mean of 15"):
            result[f"{m.metric} severity {severity}" if severity else m.metric] = m
        elif not severity:
            result[f"{m.metric} {of}"] = m
    return {name: result[name] for name in METRICS}


def values(own, base):
    """The means over the 15 without intervals."""
    source = Source("official", "official")
    result = {}
    for statistic in (
        *cell_statistics(own, source, 10),
        *baseline_statistics(own, {"base": base}, source),
    ):
        for quantity, value in zip(statistic.quantities, statistic.values, strict=True):
            of, severity = quantity.at.get("corruption"), quantity.at.get("severity")
            if of in (None, "mean of 15"):
                name = f"{quantity.metric} severity {severity}" if severity else quantity.metric
                result[name] = value
            elif not severity:
                result[f"{quantity.metric} {of}"] = value
    return {name: result[name] for name in METRICS}


@pytest.mark.slow
def test_intervals_of_means_over_cells_have_their_nominal_coverage():
    random = np.random.default_rng(1903)
    truth = values(*population(random, 100_000, 0.02))
    trials, held = 200, dict.fromkeys(METRICS, 0)
    for _ in range(trials):
        for name, result in measured(*population(random, 500, 0.02)).items():
            held[name] += result.low <= truth[name] <= result.high
    shares = {name: hits / trials for name, hits in held.items()}
    assert min(shares.values()) >= 0.90, shares
    # the intervals of ECEs and of mean corruption errors are wider than they need to be
    assert max(shares["mca"], shares["relative_mean_corruption_error"]) <= 0.98, shares


@pytest.mark.slow
def test_intervals_are_centred_on_the_debiased_value():
    """The plain mean ECE is biased by a fifth of the width of its interval."""
    random = np.random.default_rng(7)
    big, _ = population(random, 60_000, 0.02)
    truth = np.mean([ece(*cell) for cell in cells_of(big)])
    centres, values = [], []
    for _ in range(10):
        result = measured(*population(random, 500, 0.02))["ece"]
        centres.append((result.low + result.high) / 2 - truth)
        values.append(result.value - truth)
    width = result.high - result.low
    assert abs(np.mean(centres)) < 0.12 * width
    assert np.mean(values) > 0.15 * width


def test_the_simulated_error_is_twice_the_calibrated_floor():
    random = np.random.default_rng(0)
    own, _ = population(random, 500, 0.02)
    errors, floor = [], []
    for sure, correct in cells_of(own):
        errors.append(ece(sure, correct))
        floor += [ece(sure, random.random(500) < sure) for _ in range(5)]
    assert 1.9 * np.mean(floor) < np.mean(errors) < 2.5 * np.mean(floor)
