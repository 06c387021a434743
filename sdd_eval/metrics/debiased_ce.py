"""Calibration errors without what a finite number of images adds to them.

Even a calibrated model has bins whose accuracy misses its confidence by chance. Both estimators
subtract what chance adds in expectation; neither goes below 0.

Source: Kumar, Liang, Ma (2019), "Verified uncertainty calibration": the squared error of their
section 5 (Ferro and Fricker 2012 have it for forecasts of the weather), and the normal
approximation for other powers of their appendix, here in closed form instead of by resampling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Numbers
from sdd_eval.metrics.calibration import BinSums, bin_sums


def debiased_ece(confidence: Any, correct: Any, bins: int = 10) -> float:
    """`calibration.ece`, debiased: Σ count/n · (2 |gap| − E|gap + noise|), at least 0.

    Per bin, gap = accuracy − mean confidence, and the noise is normal with the variance
    accuracy (1 − accuracy) / count that the accuracy has. A bin all right or all wrong has none.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(debiased_ece([0.75] * 100, [1] * 80 + [0] * 20), 4)  # less than .05
    0.046
    """
    return float(debiased_gap(bin_sums(confidence, correct, bins)))


def debiased_gap(sums: BinSums) -> Numbers:
    """`debiased_ece` (…) of bins.

    >>> round(float(debiased_gap(bin_sums([0.75] * 100, [1] * 80 + [0] * 20))), 4)
    0.046
    """
    accuracy = sums.mean(sums.right)
    deviation = np.sqrt(sums.mean(accuracy * (1 - accuracy)))
    corrected = 2 * np.abs(sums.gap) - _folded_normal_mean(sums.gap, deviation)
    return np.asarray(np.maximum(0, (sums.share * corrected).sum(axis=-1)))


def debiased_l2_calibration_error(confidence: Any, correct: Any, bins: int = 10) -> float:
    """Root of Σ count/n · (gap² − accuracy (1 − accuracy) / (count − 1)), at least 0.

    The sum before the root is an unbiased estimate of the squared error of the binned model. A bin
    of one image says nothing of its variance and contributes 0.

    Raises:
        InputError: see `calibration.ece`.

    >>> round(debiased_l2_calibration_error([0.75] * 100, [1] * 80 + [0] * 20), 4)
    0.0297
    """
    return float(debiased_root_square(bin_sums(confidence, correct, bins)))


def debiased_root_square(sums: BinSums) -> Numbers:
    """`debiased_l2_calibration_error` (…) of bins.

    >>> round(float(debiased_root_square(bin_sums([0.75] * 100, [1] * 80 + [0] * 20))), 4)
    0.0297
    """
    accuracy, several = sums.mean(sums.right), sums.count > 1
    square = sums.gap**2 - accuracy * (1 - accuracy) / np.where(several, sums.count - 1, 1)
    total = (sums.share * np.where(several, square, 0)).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(0, total)))


def _folded_normal_mean(mean: Numbers, deviation: Numbers) -> Numbers:
    """E|X| of normal variables: σ √(2/π) exp(−μ²/2σ²) + μ erf(μ / σ√2)."""
    from scipy.special import erf

    folded = np.abs(mean)
    noisy = deviation > 0
    ratio = mean[noisy] / deviation[noisy]
    spread = deviation[noisy] * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    folded[noisy] = spread + mean[noisy] * erf(ratio / np.sqrt(2))
    return folded
