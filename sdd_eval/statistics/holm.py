"""p-values of a family of tests, adjusted so that hardly ever any of them errs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values (m,): those at most α are rejected at family-wise level α.

    The smallest is multiplied by m, the next by m − 1, …; none is below a smaller one's, none above
    1. Nothing is assumed of how the tests depend on each other.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".

    Raises:
        InputError: a p-value that is not within [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
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
