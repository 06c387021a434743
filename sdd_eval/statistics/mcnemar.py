"""McNemar's test: are two networks equally often right, seen on the same images?

Sources: McNemar (1947), "Note on the sampling error of the difference between correlated
proportions or percentages"; the mid-p version is that of Fagerland, Lydersen, Laake (2013), "The
McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

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
