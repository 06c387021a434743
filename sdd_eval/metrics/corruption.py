"""Errors under corruption relative to those of a baseline.

Source: Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Floats

#: A baseline that loses less than this by a corruption, on average over its severities, is too
#: close to its clean error to divide by what it loses.
LEAST_LOSS = 0.01


def corruption_errors(errors: Any, baseline: Any) -> Floats:
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
) -> Floats:
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


def _ratio(above: Floats, below: Floats, defined: Any) -> Floats:
    """A quotient, NaN where it is not defined."""
    found: Floats = np.full(np.broadcast(above, below).shape, np.nan)
    return np.divide(above, below, out=found, where=defined)


#: Those of the benchmark's mean: noise, blur, weather, digital.
FIFTEEN = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)

#: Those that lie beside them in the archives.
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")

NINETEEN = (*FIFTEEN, *EXTRA)

SEVERITIES = (1, 2, 3, 4, 5)
