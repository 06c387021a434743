"""Names of the common corruptions, and corruption errors relative to a baseline.

Source: Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Floats

#: The benchmark's corruptions, in the order of tables: noise, blur, weather, digital.
FIFTEEN = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
#: The additional corruptions of the published archives.
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
NINETEEN = (*FIFTEEN, *EXTRA)
SEVERITIES = (1, 2, 3, 4, 5)

#: The relative corruption error is undefined if corruption raises the baseline's error by less than
#: this on average over severities: the denominator would be too close to 0.
LEAST_LOSS = 0.01
#: Relative rounding error of a difference of error rates.
ROUNDING = 1e-9


def corruption_errors(errors: Any, baseline: Any) -> Floats:
    """Return the corruption error CE in percent: 100 · Σ_s E_s / Σ_s E_s of the baseline.

    A ratio of sums over severities s, not a mean of ratios.

    Args:
        errors: error rates (…, corruptions), summed or averaged over the severities.
        baseline: error rates (…, corruptions) of the baseline, over the same severities.

    Returns:
        CE (…, corruptions); NaN where the baseline makes no error.

    >>> corruption_errors([0.3, 0.1], [0.6, 0.0])
    array([50., nan])
    """
    numerator = np.asarray(errors, dtype=np.float64)
    denominator = np.asarray(baseline, dtype=np.float64)
    return 100 * _ratio(numerator, denominator, denominator > 0)


def relative_corruption_errors(
    errors: Any, clean: Any, baseline: Any, baseline_clean: Any, least: float = LEAST_LOSS
) -> Floats:
    """Return the relative CE in percent: 100 · Σ_s (E_s − E_clean) / the baseline's same sum.

    Args:
        errors: error rates (…, corruptions), averaged over the severities.
        clean: error rates (…) on uncorrupted images.
        baseline: error rates (…, corruptions) of the baseline.
        baseline_clean: error rates (…) of the baseline on uncorrupted images.
        least: smallest increase of the baseline's error that is divided by, apart from rounding.

    Returns:
        Relative CE (…, corruptions); NaN where the baseline's increase is below `least`.

    >>> relative_corruption_errors([0.3, 0.3], 0.1, [0.5, 0.109], 0.1)
    array([50., nan])
    """
    numerator = _increase(errors, clean)
    denominator = _increase(baseline, baseline_clean)
    return 100 * _ratio(numerator, denominator, denominator >= least * (1 - ROUNDING))


def _increase(errors: Any, clean: Any) -> Floats:
    """Return by how much errors (…, corruptions) exceed the clean error (…)."""
    increase: Floats = np.asarray(errors, dtype=np.float64)
    return increase - np.asarray(clean, dtype=np.float64)[..., None]


def _ratio(numerator: Floats, denominator: Floats, defined: Any) -> Floats:
    """Return a quotient that is NaN where it is not `defined`."""
    ratio: Floats = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=ratio, where=defined)
