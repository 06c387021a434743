"""The interval of a share of distinct, independent images."""

from __future__ import annotations

import math

from sdd_eval.errors import InputError
from sdd_eval.statistics.interval import LEVEL, Interval


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval (Wilson 1927) of a share of n independent images.

    Not for means over renderings of the same images: those are not independent.

    Raises:
        InputError: no images, or not between 0 and n hits.

    >>> found = wilson(0, 10)
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
