"""How well one score tells in-distribution images from outliers: higher = more in-distribution.

Everything is counted at the distinct scores, after one sort, in integers; ties are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.metrics.arrays import Floats, float_array

#: Whole numbers, as int64 or, of weighted images, as float64.
Counts = NDArray[Any]
#: Values that a block of weighted images may have: one MiB of float64 stays in a core's cache.
BLOCK = 2**17


@dataclass(frozen=True)
class OperatingPoints:
    """How many inliers and outliers (…, T) score at least each of T thresholds, thresholds falling.

    The first threshold is +∞, which nothing reaches; at the last, the lowest score, all do. Leading
    axes are of several weightings of the images.
    """

    inliers: Counts
    outliers: Counts

    @property
    def totals(self) -> tuple[Counts, Counts]:
        """How many inliers and outliers there are (…)."""
        return self.inliers[..., -1], self.outliers[..., -1]

    @cached_property
    def turned(self) -> OperatingPoints:
        """The same with outliers in the place of inliers: how many score at most each threshold."""
        n, m = (total[..., None] for total in self.totals)
        return OperatingPoints((m - self.outliers)[..., ::-1], (n - self.inliers)[..., ::-1])

    @cached_property
    def even(self) -> OperatingPoints:
        """The same with as many outliers as inliers, whatever their numbers."""
        n, m = (total[..., None] for total in self.totals)
        return OperatingPoints(m * self.inliers, n * self.outliers)


def ood_metrics(in_scores: Any, out_scores: Any) -> dict[str, float]:
    """Metrics of out-of-distribution detection, fractions; each convention has its own key.

    `in_scores` (n,) and `out_scores` (m,) are arrays or tensors; a higher score means more
    in-distribution, and an image counts as in-distribution if its score ≥ the threshold.

    - `fpr_at_95_tpr`: share of outliers at the highest threshold that at least 95 % of the
      inliers reach; no interpolation. `fpr_at_95_tpr_out`, with outliers positive: share of inliers
      at or below the lowest score that at least 95 % of the outliers do not exceed.
    - `detection_error`: minimum over thresholds, ±∞ included, of ½ (1 − TPR) + ½ FPR;
      `detection_error_by_counts`: of (misses + false alarms) / (n + m).
    - `auroc`: P(inlier > outlier) + ½ P(equal).
    - `aupr_in`, `aupr_out`: average precision (the step rule) with inliers, or outliers, positive,
      from counts: depends on n : m. `…_prevalence_free`: precision = TPR / (TPR + FPR).

    Raises:
        InputError: no scores on one side, or NaN.

    Sources: Hendrycks, Gimpel (2017); Liang, Li, Srikant (2018).

    >>> found = ood_metrics([3, 2, 2], [2, 1])
    >>> {name: round(found[name], 4) for name in ("fpr_at_95_tpr", "detection_error", "auroc")}
    {'fpr_at_95_tpr': 0.5, 'detection_error': 0.25, 'auroc': 0.8333}
    """
    at = operating_points(
        float_array(in_scores, "in-distribution scores"), float_array(out_scores, "outlier scores")
    )
    return {name: float(value) for name, value in ranking_metrics(at).items()}


def ranking_metrics(at: OperatingPoints, metrics: Iterable[str] | None = None) -> dict[str, Floats]:
    """The metrics of `ood_metrics`, or some of them, each (…).

    >>> points = operating_points(np.array([1.0]), np.array([0.0]))
    >>> float(ranking_metrics(points, ["auroc"])["auroc"])
    1.0
    """
    return {name: METRICS[name](at) for name in (METRICS if metrics is None else metrics)}


def weighted_ood_metrics(
    scores: Any, positive: Any, metrics: Iterable[str] | None = None
) -> Callable[[Any], dict[str, Floats]]:
    """From weights (k, n) of images to the metrics, each (k,), as if each were there so often.

    `scores` (n,) are of all images, `positive` (n,) says which are inliers. NaN where the weights
    leave nothing on one side.

    Raises:
        InputError: no scores, or NaN.

    >>> metrics = weighted_ood_metrics([3, 2, 1], [1, 1, 0], ["auroc"])
    >>> metrics(np.array([[1, 0, 2], [0, 1, 1]]))["auroc"].tolist()
    [1.0, 1.0]
    """
    points = weighted_operating_points(scores, positive)
    names = tuple(METRICS if metrics is None else metrics)
    rows = max(1, BLOCK // len(np.asarray(scores)))

    def found(weights: Any) -> dict[str, Floats]:
        blocks = (weights[start : start + rows] for start in range(0, len(weights), rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [ranking_metrics(points(block), names) for block in blocks]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    return found


def weighted_operating_points(scores: Any, positive: Any) -> Callable[[Any], OperatingPoints]:
    """From weights (k, n) of images to what is accepted at every distinct score, as float64.

    >>> weighted_operating_points([2, 2, 1], [1, 0, 1])(np.array([[1, 4, 3]])).inliers.tolist()
    [[0.0, 1.0, 4.0]]
    """
    ranks = float_array(scores, "scores")
    order = np.argsort(-ranks, kind="stable")
    ends = np.flatnonzero(np.append(ranks[order][1:] != ranks[order][:-1], True))
    inside = np.asarray(positive, dtype=np.float64)[order]

    def points(weights: Any) -> OperatingPoints:
        ranked = np.asarray(weights).take(order, axis=1).astype(np.float64)
        reached = _reached(ranked, ends)
        inliers = _reached(np.multiply(ranked, inside, out=ranked), ends)
        return OperatingPoints(inliers, reached - inliers)

    return points


def _reached(ranked: Floats, ends: Counts) -> Floats:
    """Cumulative weights (k, T) at the last of each tie, after a leading zero."""
    sums = np.zeros((len(ranked), 1 + ranked.shape[1]))
    np.cumsum(ranked, axis=1, out=sums[:, 1:])
    if len(ends) == ranked.shape[1]:
        return sums  # no ties
    return sums.take(np.append(0, 1 + ends), axis=1)


def operating_points(in_scores: Floats, out_scores: Floats) -> OperatingPoints:
    """What is accepted at +∞ and at every distinct score, from the highest to the lowest."""
    # Two sorts of values and a stable one that only merges: half the time of sorting indices.
    scores = np.concatenate([np.sort(in_scores), np.sort(out_scores)])
    order = np.argsort(scores, kind="stable")[::-1]
    ranked, is_inlier = scores[order], order < len(in_scores)
    last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    inliers = np.cumsum(is_inlier)[last_of_tie]
    return OperatingPoints(
        inliers=np.concatenate([[0], inliers]),
        outliers=np.concatenate([[0], last_of_tie + 1 - inliers]),
    )


def _rate_at_95(at: OperatingPoints) -> Floats:
    """Share of outliers at the highest threshold that at least 95 % of the inliers reach."""
    n, m = at.totals
    enough = (20 * at.inliers >= 19 * n[..., None]).argmax(axis=-1)
    accepted = np.take_along_axis(at.outliers, enough[..., None], axis=-1)[..., 0]
    return np.asarray(accepted / m)


def _detection_error(at: OperatingPoints) -> Floats:
    """Minimum of ½ (1 − TPR) + ½ FPR."""
    n, m = at.totals
    told_apart = (at.even.inliers - at.even.outliers).max(axis=-1)
    return np.asarray((n * m - told_apart) / (2 * n * m))


def _detection_error_by_counts(at: OperatingPoints) -> Floats:
    """Minimum of (misses + false alarms) / all."""
    n, m = at.totals
    return np.asarray((n - (at.inliers - at.outliers).max(axis=-1)) / (n + m))


def _area(at: OperatingPoints) -> Floats:
    """Area under the ROC curve; its trapezoids count ties half."""
    n, m = at.totals
    steps = np.diff(at.outliers, axis=-1) * (at.inliers[..., 1:] + at.inliers[..., :-1])
    return np.asarray(steps.sum(axis=-1) / (2 * n * m))


def _average_precision(at: OperatingPoints) -> Floats:
    """Σ precision · gain in recall."""
    positives = at.inliers[..., 1:]
    gained = np.add(positives, at.outliers[..., 1:], dtype=np.float64)
    # Where nothing is accepted there is no precision, and no gain either.
    np.maximum(gained, 1, out=gained)
    np.divide(positives, gained, out=gained)
    gained *= np.diff(at.inliers, axis=-1)
    return np.asarray(gained.sum(axis=-1) / at.inliers[..., -1])


#: Every metric, by its key.
METRICS: Mapping[str, Callable[[OperatingPoints], Floats]] = {
    "fpr_at_95_tpr": _rate_at_95,
    "fpr_at_95_tpr_out": lambda at: _rate_at_95(at.turned),
    "detection_error": _detection_error,
    "detection_error_by_counts": _detection_error_by_counts,
    "auroc": _area,
    "aupr_in": _average_precision,
    "aupr_out": lambda at: _average_precision(at.turned),
    "aupr_in_prevalence_free": lambda at: _average_precision(at.even),
    "aupr_out_prevalence_free": lambda at: _average_precision(at.even.turned),
}


def roc_curve(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
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


def tpr_at_fpr(false_positive: Floats, true_positive: Floats, rates: Floats) -> Floats:
    """The true positive rate of a ROC curve at given false positive rates, for averaging curves.

    On a vertical stretch it is the upper end (`np.interp` takes the last of equal knots).
    """
    heights: Floats = np.interp(rates, false_positive, true_positive)
    return heights


def precision_recall_curve(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """Recall and precision at every threshold, in-distribution positive, recall ascending.

    Equal scores fall together, counts are those of the sets, and the sum of steps of recall times
    precision is the average precision.

    >>> recall, precision = precision_recall_curve([3.0, 1.0], [2.0])
    >>> recall.tolist(), precision.round(3).tolist()
    ([0.5, 0.5, 1.0], [1.0, 0.5, 0.667])
    """
    inside = np.sort(np.asarray(in_scores, dtype=np.float64))
    outside = np.sort(np.asarray(out_scores, dtype=np.float64))
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    kept = _share_at_least(inside, thresholds)[1:] * len(inside)
    wrong = _share_at_least(outside, thresholds)[1:] * len(outside)
    return kept / len(inside), kept / (kept + wrong)


def precision_at_recall(recall: Floats, precision: Floats, places: Floats) -> Floats:
    """Precision at the highest threshold that reaches each recall: steps, nothing between them.

    At a recall of 0 it is that of the first threshold that keeps an in-distribution image.
    """
    positive = recall > 0
    index = np.searchsorted(recall[positive], places - 1e-12, side="left")
    heights: Floats = precision[positive][index]
    return heights


def risk_coverage_curve(scores: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Coverage k / n and the share of wrong images among the k surest, k = 1 … n.

    Images of equal score are accepted in random order, in the mean: each of them adds the mean
    error of its like (as AURC counts them, Geifman and El-Yaniv 2017).

    >>> coverage, risk = risk_coverage_curve([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0])
    >>> coverage.tolist(), risk.round(3).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.25, 0.333, 0.5])
    """
    surest = np.asarray(scores, dtype=np.float64)
    wrong = 1.0 - np.asarray(correct, dtype=np.float64)
    _, group, counts = np.unique(-surest, return_inverse=True, return_counts=True)
    mean = np.bincount(group.reshape(-1), weights=wrong) / counts
    accepted = np.arange(1, len(surest) + 1)
    return accepted / len(surest), np.cumsum(np.repeat(mean, counts)) / accepted
