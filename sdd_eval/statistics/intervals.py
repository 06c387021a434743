"""An interval, and how it was made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.errors import InputError

#: How sure every interval of this package is meant to be.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a number would lie with other images; `how` says by which construction."""

    low: float
    high: float
    level: float
    how: str


def wilson_interval(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval (Wilson 1927) of a share of n independent images.

    Not for means over renderings of the same images: those are not independent.

    Raises:
        InputError: no images, or not between 0 and n hits.

    >>> found = wilson_interval(0, 10)
    >>> (found.low, round(found.high, 3))
    (0.0, 0.278)
    """
    from scipy.special import ndtri  # scipy costs a second that a reader of reports does not need

    if n < 1 or not 0 <= hits <= n:
        raise InputError(f"{hits} of {n} images is no share")
    z = float(ndtri(0.5 + level / 2))
    share, square = hits / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return Interval(low, high, level, "Wilson score interval")


def coverage_interval(
    accepted: Any, wrong: Any, risk: float, images: int, level: float = LEVEL
) -> Interval:
    """Interval of the largest share of images that can be accepted at no more than a risk.

    `accepted` (k,) are numbers of images at thresholds, `wrong` (k,) how many of these are wrong.
    It begins where the share of wrong ones is last surely below the risk, and ends where it is last
    not surely above, by the score test that Wilson's interval inverts. The lower end is what
    Geifman and El-Yaniv (2017), "Selective classification for deep neural networks", guarantee. A
    share so small that none of its images may be among these is never excluded.

    In simulations (1,000 and 10,000 images, coverages of .24 to .57) 95 % intervals held the truth
    in 93 to 97 % of samples; in 98 % where less than one image that is accepted is wrong.

    Raises:
        InputError: a risk that is not within (0, 1), or no images.

    >>> found = coverage_interval([50, 100, 200], [0, 1, 40], risk=0.05, images=200)
    >>> found.low, found.high
    (0.0, 0.5)
    >>> round(coverage_interval([1, 200], [1, 90], risk=0.05, images=200).high, 3)  # 0 is not sure
    0.018
    """
    from scipy.special import ndtri  # scipy costs a second that a reader of reports does not need

    if not 0 < risk < 1 or images < 1:
        raise InputError(f"a risk of {risk:g} of {images} images has no interval")
    sizes, errors = np.asarray(accepted, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    far = float(ndtri(0.5 + level / 2)) * np.sqrt(sizes * risk * (1 - risk))
    above = errors - sizes * risk
    low, high = (sizes[sure].max(initial=0) / images for sure in (above <= -far, above <= far))
    unseen = 1 - ((1 - level) / 2) ** (1 / images)
    how = "coverages at which a score test leaves the risk open (Wilson's, inverted)"
    return Interval(float(low), max(float(high), unseen), level, how)
