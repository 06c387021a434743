"""McNemar's test, the Holm–Bonferroni adjustment of p-values, and the verdict on a difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError

#: Largest adjusted p-value at which a difference is reported.
ALPHA = 0.05
Verdict = Literal["", "higher", "lower", "not distinguishable"]


@dataclass(frozen=True)
class McNemar:
    """The result of McNemar's test for two networks on the same images.

    Attributes:
        gained: number of images that only the second network classifies correctly.
        lost: number of images that only the first network classifies correctly.
        exact: two-sided p-value of the exact conditional test, which is conservative.
        mid_p: two-sided mid-p-value, whose error rate is close to the nominal one.
    """

    gained: int
    lost: int
    exact: float
    mid_p: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test whether two networks are correct equally often, from their correct flags (n,).

    Raise InputError if there are no images, shapes differ, or a flag is not 0 or 1.

    Sources: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages"; Fagerland, Lydersen, Laake (2013), "The McNemar test for binary
    matched-pairs data: mid-p and asymptotic are better than exact conditional".

    >>> result = mcnemar([1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0])  # P(0 or 2 of 2 coins) = .5
    >>> result.gained, result.lost, result.exact, result.mid_p
    (0, 2, 0.5, 0.25)
    """
    before, after = np.asarray(first), np.asarray(second)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise InputError(
            f"correct flags must have one common shape (n,), not {before.shape} and {after.shape}"
        )
    if not np.isin([before, after], (0, 1)).all():
        raise InputError("correct flags must be 0 or 1 (False or True), and some are neither")
    gained = int(((before == 0) & (after == 1)).sum())
    lost = int(((before == 1) & (after == 0)).sum())
    return McNemar(gained, lost, *mcnemar_p_values(lost, gained))


def mcnemar_p_values(lost: int, gained: int) -> tuple[float, float]:
    """Return the two-sided exact p-value and mid-p of McNemar's test.

    >>> mcnemar_p_values(0, 4)
    (0.125, 0.0625)
    """
    from scipy.special import bdtr  # imported here because scipy takes a second to load

    fewer, discordant = min(lost, gained), lost + gained
    if discordant == 0:
        return 1.0, 1.0
    up_to = float(bdtr(fewer, discordant, 0.5))
    below = float(bdtr(fewer - 1, discordant, 0.5)) if fewer else 0.0
    return min(1.0, 2 * up_to), min(1.0, up_to + below)


def holm_bonferroni(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm–Bonferroni adjusted p-values (m,).

    Hypotheses with an adjusted p-value of at most α are rejected at family-wise error rate α, for
    any dependence between the tests. The smallest p-value is multiplied by m, the next by m − 1,
    and so on; none is smaller than its predecessor or greater than 1. Raise InputError for a
    p-value outside [0, 1].

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".

    >>> holm_bonferroni([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64).reshape(-1)
    invalid = ~((p >= 0) & (p <= 1))
    if invalid.any():
        raise InputError(f"{p[invalid][0]:g} is not a p-value: it must be within [0, 1]")
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted


def holm_alpha(others: ArrayLike) -> float:
    """Return the largest p-value with which Holm's method rejects one more hypothesis.

    `others` (m,) are the p-values of the other hypotheses of the family. With k of them rejected
    one after another, the level is α / (m + 1 − k).

    >>> holm_alpha([]), holm_alpha([0.5]), holm_alpha([0.001])
    (0.05, 0.025, 0.05)
    """
    p = np.sort(np.asarray(others, dtype=np.float64).reshape(-1))
    limits = ALPHA / (len(p) + 1 - np.arange(len(p)))
    rejected = int(np.logical_and.accumulate(p <= limits).sum())
    return ALPHA / (len(p) + 1 - rejected)


def verdict(
    difference: float, low: float | None, high: float | None, adjusted: float | None
) -> Verdict:
    """Return the verdict on a difference; empty without an adjusted p-value or an interval.

    A difference requires both an adjusted p-value of at most `ALPHA` and an interval that excludes
    0. Tables, marks and sentences all follow this rule.

    >>> verdict(0.02, 0.01, 0.03, 0.04), verdict(0.02, 0.01, 0.03, 0.06)
    ('higher', 'not distinguishable')
    """
    if low is None or high is None or adjusted is None or math.isnan(low + high + adjusted):
        return ""
    if adjusted > ALPHA or low <= 0 <= high:
        return "not distinguishable"
    return "higher" if difference > 0 else "lower"


def permutations_needed(family: int, level: float = 0.05, exceedances: int = 50) -> int:
    """Return the number of permutations that a family of tests needs under Holm–Bonferroni.

    The first rejection needs p ≤ level / family, and B permutations give p ≥ 1 / (B + 1). At the
    returned B, a p-value at that threshold is based on `exceedances` permutations that are at least
    as extreme: 50 determine it to about 1 part in 7 (1 / √50). Raise InputError if there are no
    tests or exceedances, or if the level is not within (0, 1).

    >>> permutations_needed(1), permutations_needed(20)
    (999, 19999)
    """
    if family < 1 or not 0 < level < 1 or exceedances < 1:
        raise InputError(
            f"no permutation test for a family of {family} tests at level {level:g} with "
            f"{exceedances} exceedances"
        )
    return math.ceil(round(exceedances * family / level, 6)) - 1
