"""The curve behind an AUROC, for drawing it and for averaging it over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def roc(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1).

    Higher scores are more in-distribution, in-distribution is positive, and equal scores fall
    together: the area below is the AUROC in which ties count half.
    """
    inside = np.sort(np.asarray(in_scores, dtype=np.float64))
    outside = np.sort(np.asarray(out_scores, dtype=np.float64))
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    return _share_at_least(outside, thresholds), _share_at_least(inside, thresholds)


def _share_at_least(ordered: Floats, thresholds: Floats) -> Floats:
    """The share of values that reach each threshold, after a leading zero."""
    reached: NDArray[Any] = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
    return np.concatenate([[0.0], reached / len(ordered)])


def at_rates(false_positive: Floats, true_positive: Floats, rates: Floats) -> Floats:
    """The true positive rate of a ROC curve at given false positive rates, for averaging curves.

    On a vertical stretch it is the upper end (`np.interp` takes the last of equal knots).
    """
    heights: Floats = np.interp(rates, false_positive, true_positive)
    return heights
