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

    A ratio of sums over severities s, not a mean of ratios. Error rates and CE are
    (…, corruptions); CE is NaN where the baseline makes no error.

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

    Error rates (…, corruptions) are averaged over the severities; those on uncorrupted images are
    (…). Relative CE is NaN where the baseline's increase is below `least`, apart from rounding.

    >>> relative_corruption_errors([0.3, 0.3], 0.1, [0.5, 0.109], 0.1)
    array([50., nan])
    """
    numerator, denominator = (
        np.asarray(rates, dtype=np.float64) - np.asarray(uncorrupted, dtype=np.float64)[..., None]
        for rates, uncorrupted in ((errors, clean), (baseline, baseline_clean))
    )
    return 100 * _ratio(numerator, denominator, denominator >= least * (1 - ROUNDING))


def _ratio(numerator: Floats, denominator: Floats, defined: Any) -> Floats:
    """Return a quotient that is NaN where it is not `defined`."""
    ratio: Floats = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=ratio, where=defined)
