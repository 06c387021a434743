"""Means over corruptions, only over complete sets of them, and errors relative to a baseline's.

Source: Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdd_eval.corruptions import FIFTEEN, SEVERITIES
from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Numbers

#: A baseline that loses less than this by a corruption, on average over its severities, is too
#: close to its clean error to divide by what it loses.
LEAST_LOSS = 0.01


def mean_per_corruption(cells: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Mean over the five severities of every corruption, from accuracies per cell.

    Raises:
        InputError: a severity of a corruption is missing.

    >>> mean_per_corruption({("fog", severity): severity / 10 for severity in (1, 2, 3, 4, 5)})
    {'fog': 0.3}
    """
    for corruption, _ in cells:
        missing = [severity for severity in SEVERITIES if (corruption, severity) not in cells]
        if missing:
            raise InputError(f"{corruption} lacks severity {missing[0]}; a mean is over 1 to 5")
    names = dict.fromkeys(corruption for corruption, _ in cells)
    return {
        name: float(np.mean([cells[name, severity] for severity in SEVERITIES])) for name in names
    }


def mean_corruption_accuracy(
    means: Mapping[str, float], over: tuple[str, ...] = FIFTEEN
) -> float | None:
    """Mean accuracy over a set of corruptions (mCA), or None where one of them is missing.

    >>> mean_corruption_accuracy({"fog": 0.3, "snow": 0.5}, over=("fog", "snow"))
    0.4
    >>> mean_corruption_accuracy({"fog": 0.3}) is None
    True
    """
    if any(corruption not in means for corruption in over):
        return None
    return float(np.mean([means[corruption] for corruption in over]))


def corruption_errors(errors: Any, baseline: Any) -> Numbers:
    """CE of each corruption, in percent of the baseline's error: 100 · Σ_s E / Σ_s E_baseline.

    `errors` and `baseline` are arrays (…, corruptions) of errors summed or averaged over the same
    severities. A ratio of sums, not a mean of ratios. NaN where the baseline makes no error.

    >>> corruption_errors([0.3, 0.1], [0.6, 0.0])
    array([50., nan])
    """
    above, below = np.asarray(errors, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    return 100 * _ratio(above, below, below > 0)


def relative_corruption_errors(
    errors: Any, clean: Any, baseline: Any, baseline_clean: Any, least: float = LEAST_LOSS
) -> Numbers:
    """Relative CE, in percent: 100 · Σ_s (E − E_clean) / Σ_s (E_baseline − E_baseline_clean).

    `errors` and `baseline` are arrays (…, corruptions) averaged over the severities, `clean` and
    `baseline_clean` (…). NaN where what the baseline loses is below `least`.

    >>> relative_corruption_errors([0.3, 0.3], 0.1, [0.5, 0.109], 0.1)
    array([50., nan])
    """
    above = np.asarray(errors, dtype=np.float64) - np.asarray(clean, dtype=np.float64)[..., None]
    below = np.asarray(baseline, dtype=np.float64)
    below = below - np.asarray(baseline_clean, dtype=np.float64)[..., None]
    return 100 * _ratio(above, below, below >= least)


def _ratio(above: Numbers, below: Numbers, defined: Any) -> Numbers:
    """A quotient, NaN where it is not defined."""
    found: Numbers = np.full(np.broadcast(above, below).shape, np.nan)
    return np.divide(above, below, out=found, where=defined)
