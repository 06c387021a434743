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


def precision_recall(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """Recall and precision at every threshold, in-distribution positive, recall ascending.

    Equal scores fall together, counts are those of the sets, and the sum of steps of recall times
    precision is the average precision.

    >>> recall, precision = precision_recall([3.0, 1.0], [2.0])
    >>> recall.tolist(), precision.round(3).tolist()
    ([0.5, 0.5, 1.0], [1.0, 0.5, 0.667])
    """
    inside = np.sort(np.asarray(in_scores, dtype=np.float64))
    outside = np.sort(np.asarray(out_scores, dtype=np.float64))
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    kept = _share_at_least(inside, thresholds)[1:] * len(inside)
    wrong = _share_at_least(outside, thresholds)[1:] * len(outside)
    return kept / len(inside), kept / (kept + wrong)


def precision_at(recall: Floats, precision: Floats, places: Floats) -> Floats:
    """Precision at the highest threshold that reaches each recall: steps, nothing between them.

    At a recall of 0 it is that of the first threshold that keeps an in-distribution image.
    """
    positive = recall > 0
    index = np.searchsorted(recall[positive], places - 1e-12, side="left")
    heights: Floats = precision[positive][index]
    return heights


def risk_coverage(scores: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Coverage k / n and the share of wrong images among the k surest, k = 1 … n.

    Images of equal score are accepted in random order, in the mean: each of them adds the mean
    error of its like (as AURC counts them, Geifman and El-Yaniv 2017).

    >>> coverage, risk = risk_coverage([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0])
    >>> coverage.tolist(), risk.round(3).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.25, 0.333, 0.5])
    """
    surest = np.asarray(scores, dtype=np.float64)
    wrong = 1.0 - np.asarray(correct, dtype=np.float64)
    _, group, counts = np.unique(-surest, return_inverse=True, return_counts=True)
    mean = np.bincount(group.reshape(-1), weights=wrong) / counts
    accepted = np.arange(1, len(surest) + 1)
    return accepted / len(surest), np.cumsum(np.repeat(mean, counts)) / accepted
