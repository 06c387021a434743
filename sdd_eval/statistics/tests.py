"""McNemar's test: are two networks equally often right, seen on the same images?

Sources: McNemar (1947), "Note on the sampling error of the difference between correlated
proportions or percentages"; the mid-p version is that of Fagerland, Lydersen, Laake (2013), "The
McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError


@dataclass(frozen=True)
class McNemar:
    """Images that the second network alone gets right (`gained`), or the first alone (`lost`).

    `exact` and `mid_p` are two-sided p-values of "a changed image is as often gained as lost". The
    exact one never errs more often than its level and mostly much less; mid-p errs about as often.
    """

    gained: int
    lost: int
    exact: float
    mid_p: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's test of which images (n,) two networks get right.

    Raises:
        InputError: no images, arrays of different shapes, or flags that are not 0 or 1.

    >>> found = mcnemar([1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0])  # P(0 or 2 of 2 coins) = .5
    >>> found.gained, found.lost, found.exact, found.mid_p
    (0, 2, 0.5, 0.25)
    """
    before, after = np.asarray(first), np.asarray(second)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise InputError(f"flags of shapes {before.shape} and {after.shape} are not of n images")
    if not np.isin([before, after], (0, 1)).all():
        raise InputError("flags are 0 or 1 (False or True), and some are neither")
    gained = int(((before == 0) & (after == 1)).sum())
    lost = int(((before == 1) & (after == 0)).sum())
    return McNemar(gained, lost, *_p_values(min(gained, lost), gained + lost))


def _p_values(fewer: int, changed: int) -> tuple[float, float]:
    """Exact and mid-p of so few on one side among all changed ones: coins, two-sided."""
    from scipy.special import bdtr  # scipy costs a second that a reader of reports does not need

    if changed == 0:
        return 1.0, 1.0
    up_to = float(bdtr(fewer, changed, 0.5))
    below = float(bdtr(fewer - 1, changed, 0.5)) if fewer else 0.0
    return min(1.0, 2 * up_to), min(1.0, up_to + below)


def holm_bonferroni(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values (m,): those at most α are rejected at family-wise level α.

    The smallest is multiplied by m, the next by m − 1, …; none is below a smaller one's, none above
    1. Nothing is assumed of how the tests depend on each other.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".

    Raises:
        InputError: a p-value that is not within [0, 1].

    >>> holm_bonferroni([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64).reshape(-1)
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        raise InputError(f"{p[wrong][0]:g} is no p-value; it must be within [0, 1]")
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted


def permutations_needed(family: int, level: float = 0.05, room: int = 50) -> int:
    """How many permutations a family of so many tests needs under Holm's adjustment.

    Holm rejects the first where p ≤ level / family; with B permutations p is at least 1 / (B + 1).
    With `room` = 50, as many as 50 multiples of that lie below the threshold, where p is known to
    about 1 part in 7 (1 / √50).

    Raises:
        InputError: no tests, a level that is not within (0, 1), or no room.

    >>> permutations_needed(1), permutations_needed(20)
    (999, 19999)
    """
    if family < 1 or not 0 < level < 1 or room < 1:
        raise InputError(f"a family of {family} tests at level {level:g} with room {room}")
    return math.ceil(round(room * family / level, 6)) - 1
