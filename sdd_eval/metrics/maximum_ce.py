"""The largest gap of any bin between accuracy and confidence.

Source: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
binning".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Numbers
from sdd_eval.metrics.calibration import BinSums, bin_sums


def maximum_calibration_error(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Maximum calibration error, a fraction: max over bins of |accuracy − mean confidence|.

    Arguments and bins are those of `calibration.ece`; empty bins do not count. A bin of one image
    counts like any other, so the number is noisy where bins are small. It has no interval:
    in simulations a bootstrap's of 95 % held the truth in 46 to 70 % of samples.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(maximum_calibration_error([0.9, 0.8, 0.75, 0.3], [1, 1, 0, 0]), 4)  # .3, .275, .1
    0.3
    """
    return float(largest_gap(bin_sums(confidence, correct, bins)))


def largest_gap(sums: BinSums) -> Numbers:
    """Maximum calibration error (…) of bins.

    >>> float(largest_gap(bin_sums([1.0, 0.5, 0.5], [1, 1, 1])))
    0.5
    """
    return np.asarray(np.abs(sums.gap).max(axis=-1))
