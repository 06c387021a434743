"""Metrics for a score that separates in-distribution from OOD images: AUROC, AUPR, FPR, curves.

A higher score means more in-distribution ("inliers" as opposed to "outliers"). Counts are integers
at the distinct scores after one sort, so ties are handled exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.metrics.arrays import Floats, float_array
from sdd_eval.statistics.closed_form.risk_coverage import tie_means

#: Image counts: int64, or float64 sums.
Counts = NDArray[Any]


@dataclass(frozen=True)
class OperatingPoints:
    """Counts of inliers and outliers (…, T) scoring at least each of T decreasing thresholds.

    At the first threshold, +∞, nothing is accepted; at the last, the lowest score, everything is.
    Leading axes hold several permutations or resamples of the images.
    """

    inliers: Counts
    outliers: Counts

    @property
    def totals(self) -> tuple[Counts, Counts]:
        """The numbers of inliers and outliers (…)."""
        return self.inliers[..., -1], self.outliers[..., -1]

    @cached_property
    def outliers_positive(self) -> OperatingPoints:
        """The points with outliers as the positive class: counts of scores at most a threshold."""
        n, m = (total[..., None] for total in self.totals)
        return OperatingPoints((m - self.outliers)[..., ::-1], (n - self.inliers)[..., ::-1])

    @cached_property
    def balanced(self) -> OperatingPoints:
        """The points with both sides weighted equally, regardless of their numbers of images."""
        n, m = (total[..., None] for total in self.totals)
        return OperatingPoints(m * self.inliers, n * self.outliers)


def ood_metrics(
    in_scores: Any, out_scores: Any, metrics: Iterable[str] | None = None
) -> dict[str, float]:
    """Return OOD detection metrics as fractions; each convention has its own key.

    An image is accepted as in-distribution if its score is at least the threshold.

    - `fpr_at_95_tpr`: the share of outliers accepted at the highest threshold that at least 95 % of
      the inliers reach; no interpolation. `fpr_at_95_tpr_out`, with outliers as positives: the
      share of inliers at or below the lowest score that at least 95 % of the outliers do not
      exceed.
    - `detection_error`: minimum over thresholds, ±∞ included, of ½ (1 − TPR) + ½ FPR;
      `detection_error_by_counts`: of (misses + false alarms) / (n + m).
    - `auroc`: P(inlier > outlier) + ½ P(equal).
    - `aupr_in`, `aupr_out`: average precision (step rule) with inliers or outliers as positives,
      from counts, so it depends on n : m. `…_prevalence_free`: with precision = TPR / (TPR + FPR).

    Args:
        in_scores: scores of in-distribution images (n,).
        out_scores: scores of OOD images (m,).
        metrics: the metrics to compute; all by default.

    Raises:
        InputError: one side has no scores, or a score is NaN.

    Sources: Hendrycks, Gimpel (2017), "A baseline for detecting misclassified and
    out-of-distribution examples in neural networks"; Liang, Li, Srikant (2018), "Enhancing the
    reliability of out-of-distribution image detection in neural networks".

    >>> metrics = ood_metrics([3, 2, 2], [2, 1])
    >>> {name: round(metrics[name], 4) for name in ("fpr_at_95_tpr", "detection_error", "auroc")}
    {'fpr_at_95_tpr': 0.5, 'detection_error': 0.25, 'auroc': 0.8333}
    """
    points = operating_points(
        float_array(in_scores, "in-distribution scores"), float_array(out_scores, "outlier scores")
    )
    return {name: float(value) for name, value in ranking_metrics(points, metrics).items()}


def ranking_metrics(
    points: OperatingPoints, metrics: Iterable[str] | None = None
) -> dict[str, Floats]:
    """Return all or some metrics of `ood_metrics`, each (…).

    >>> points = operating_points(np.array([1.0]), np.array([0.0]))
    >>> float(ranking_metrics(points, ["auroc"])["auroc"])
    1.0
    """
    return {name: METRICS[name](points) for name in (METRICS if metrics is None else metrics)}


def operating_points(in_scores: Floats, out_scores: Floats) -> OperatingPoints:
    """Return the operating points at +∞ and every distinct score, by decreasing threshold.

    >>> operating_points(np.array([3.0, 2.0]), np.array([2.0, 1.0])).inliers
    array([0, 1, 2, 2])
    """
    # Two sorts of values and a stable sort that only merges take half as long as sorting indices.
    scores = np.concatenate([np.sort(in_scores), np.sort(out_scores)])
    order = np.argsort(scores, kind="stable")[::-1]
    ranked, is_inlier = scores[order], order < len(in_scores)
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    inliers = np.cumsum(is_inlier)[ends]
    return OperatingPoints(
        inliers=np.concatenate([[0], inliers]),
        outliers=np.concatenate([[0], ends + 1 - inliers]),
    )


def _fpr_at_95_tpr(points: OperatingPoints) -> Floats:
    """Return the share of negatives at the highest threshold that 95 % of positives reach."""
    n, m = points.totals
    threshold = (20 * points.inliers >= 19 * n[..., None]).argmax(axis=-1)
    accepted = np.take_along_axis(points.outliers, threshold[..., None], axis=-1)[..., 0]
    return np.asarray(accepted / m)


def _detection_error_by_counts(points: OperatingPoints) -> Floats:
    """Return the minimum of (misses + false alarms) / all."""
    n, m = points.totals
    return np.asarray((n - (points.inliers - points.outliers).max(axis=-1)) / (n + m))


def _auroc(points: OperatingPoints) -> Floats:
    """Return the area under the ROC curve (trapezoidal rule), which counts ties half."""
    n, m = points.totals
    areas = np.diff(points.outliers, axis=-1) * (points.inliers[..., 1:] + points.inliers[..., :-1])
    return np.asarray(areas.sum(axis=-1) / (2 * n * m))


def _average_precision(points: OperatingPoints) -> Floats:
    """Return Σ precision · increase in recall."""
    positives = points.inliers[..., 1:]
    terms = np.add(positives, points.outliers[..., 1:], dtype=np.float64)
    # Where nothing is accepted, precision is undefined, but recall does not increase either.
    np.maximum(terms, 1, out=terms)
    np.divide(positives, terms, out=terms)
    terms *= np.diff(points.inliers, axis=-1)
    return np.asarray(terms.sum(axis=-1) / points.inliers[..., -1])


#: The metrics by name.
METRICS: Mapping[str, Callable[[OperatingPoints], Floats]] = {
    "fpr_at_95_tpr": _fpr_at_95_tpr,
    "fpr_at_95_tpr_out": lambda points: _fpr_at_95_tpr(points.outliers_positive),
    "detection_error": lambda points: _detection_error_by_counts(points.balanced),
    "detection_error_by_counts": _detection_error_by_counts,
    "auroc": _auroc,
    "aupr_in": _average_precision,
    "aupr_out": lambda points: _average_precision(points.outliers_positive),
    "aupr_in_prevalence_free": lambda points: _average_precision(points.balanced),
    "aupr_out_prevalence_free": lambda points: _average_precision(
        points.balanced.outliers_positive
    ),
}


def roc_curve(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return false and true positive rates at every threshold, from (0, 0) to (1, 1).

    Inliers are the positives; the area under the curve is the AUROC with ties counted as one half.

    >>> false_positive, true_positive = roc_curve([3.0, 1.0], [2.0])
    >>> false_positive.tolist(), true_positive.tolist()
    ([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0])
    """
    points = operating_points(np.asarray(in_scores, float), np.asarray(out_scores, float))
    n, m = points.totals
    return points.outliers / m, points.inliers / n


def tpr_at_fpr(false_positive: Floats, true_positive: Floats, rates: Floats) -> Floats:
    """Return the true positive rates of an ROC curve at given false positive rates.

    On a vertical segment, this is the upper end (`np.interp` takes the last of equal knots).

    >>> tpr_at_fpr(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5]))
    array([0.5 , 0.75])
    """
    heights: Floats = np.interp(rates, false_positive, true_positive)
    return heights


def precision_recall_curve(in_scores: ArrayLike, out_scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return recall and precision at every threshold, inliers positive, recall increasing.

    The sum of precision times the steps in recall is the average precision.

    >>> recall, precision = precision_recall_curve([3.0, 1.0], [2.0])
    >>> recall.tolist(), precision.round(3).tolist()
    ([0.5, 0.5, 1.0], [1.0, 0.5, 0.667])
    """
    points = operating_points(np.asarray(in_scores, float), np.asarray(out_scores, float))
    inliers, outliers = points.inliers[1:], points.outliers[1:]
    return inliers / inliers[-1], inliers / (inliers + outliers)


def precision_at_recall(recall: Floats, precision: Floats, levels: Floats) -> Floats:
    """Return the precision at the highest threshold that reaches each recall level (step rule).

    At a recall of 0, it is the precision at the first threshold that accepts an inlier.

    >>> precision_at_recall(np.array([0.5, 1.0]), np.array([1.0, 0.6]), np.array([0.0, 0.75]))
    array([1. , 0.6])
    """
    positive = recall > 0
    index = np.searchsorted(recall[positive], levels - 1e-12, side="left")
    heights: Floats = precision[positive][index]
    return heights


def risk_coverage_curve(scores: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Return coverage k / n and risk, the share of errors among the k most confident, k = 1 … n.

    Images with equal scores count as accepted in random order, in expectation: each adds the mean
    error of its ties (as in AURC, Geifman and El-Yaniv 2017).

    >>> coverage, risk = risk_coverage_curve([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0])
    >>> coverage.tolist(), risk.round(3).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.25, 0.333, 0.5])
    """
    values = np.asarray(scores, dtype=np.float64)
    wrong, order = 1.0 - np.asarray(correct, dtype=np.float64), np.argsort(-values, kind="stable")
    accepted = np.arange(1, len(values) + 1)
    risk = np.cumsum(tie_means(values[order], wrong[order])) / accepted
    return accepted / len(values), risk
