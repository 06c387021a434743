"""Calibration errors equal those of torchmetrics (apart from its bug) and of a float64 loop."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sdd_eval.metrics.calibration import bin_sums, ece, mce_of_bins

NAMES = ["random", "tied", "saturated", "tiny: one", "tiny: two", "tiny: three alike"]
WITH_ONES = ["confidence one", "confidence one in many"]
BINS = (10, 15)


def maximum_calibration_error(confidence, correct, bins=10):
    return float(mce_of_bins(bin_sums(confidence, correct, bins)))


@pytest.fixture(scope="module")
def cases(script):
    return script("torchmetrics_errors")["inputs"]()


def bin_of(confidence, bins):
    """Return the number of the bin, from 1; edges are exact fractions."""
    return max(1, math.ceil(Fraction(confidence) * bins))


def bin_in_torchmetrics(confidence, bins):
    """Return the bin of torchmetrics, which has an extra bin for a confidence of 1.0."""
    return bins + 1 if confidence == 1 else bin_of(confidence, bins)


def brute_force(sure, right, bins, bin_of=bin_of):
    """ECE and maximum error, sums without rounding."""
    held = {}
    for confidence, flag in zip(sure.astype(np.float64).tolist(), right.tolist(), strict=True):
        held.setdefault(bin_of(confidence, bins), []).append(flag - confidence)
    gaps = [abs(math.fsum(residuals)) for residuals in held.values()]
    means = [gap / len(images) for gap, images in zip(gaps, held.values(), strict=True)]
    return math.fsum(gaps) / len(sure), max(means)


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("name", [*NAMES, *WITH_ONES])
def test_errors_equal_those_of_a_plain_float64_loop(name, bins, cases):
    sure, right = cases[name]
    error, largest = brute_force(sure, right, bins)
    assert ece(sure, right, bins) == pytest.approx(error, abs=1e-14)
    assert maximum_calibration_error(sure, right, bins) == pytest.approx(largest, abs=1e-12)


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("name", NAMES)
def test_errors_equal_those_of_torchmetrics(name, bins, cases, written_down):
    """torchmetrics sums in float32."""
    sure, right = cases[name]
    theirs = written_down("torchmetrics_errors")
    assert ece(sure, right, bins) == pytest.approx(theirs[f"{name}, {bins} bins, l1"], abs=2e-5)
    largest = maximum_calibration_error(sure, right, bins)
    assert largest == pytest.approx(theirs[f"{name}, {bins} bins, max"], abs=2e-5)


def test_only_torchmetrics_puts_a_confidence_of_one_into_an_extra_bin(cases, written_down):
    """1.0, wrong, and .95, right, lie in one bin: |1 − 1.95| / 2; apart: (|0 − 1| + .05) / 2."""
    theirs = written_down("torchmetrics_errors")
    assert ece(*cases["confidence one"]) == pytest.approx(0.475)
    assert theirs["confidence one, 10 bins, l1"] == pytest.approx(0.525)
    for name in WITH_ONES:
        for bins in BINS:
            sure, right = cases[name]
            split, _ = brute_force(sure, right, bins, bin_in_torchmetrics)
            assert theirs[f"{name}, {bins} bins, l1"] == pytest.approx(split, abs=2e-5)
            assert split > ece(sure, right, bins) + 0.03


def test_every_error_is_compared(cases, written_down):
    named = {key.rsplit(", ", 2)[0] for key in written_down("torchmetrics_errors")}
    assert named == cases.keys() == {*NAMES, *WITH_ONES}
