"""How well one score tells in-distribution images from outliers: higher = more in-distribution.

Everything is counted at the distinct scores, after one sort, in integers; ties are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Numbers, numbers

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Operating:
    """How many inliers and outliers score at least each threshold, thresholds falling.

    The first threshold is +∞, which nothing reaches; at the last, the lowest score, all do.
    """

    inliers: Counts
    outliers: Counts

    @property
    def totals(self) -> tuple[int, int]:
        """How many inliers and outliers there are."""
        return int(self.inliers[-1]), int(self.outliers[-1])


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
        numbers(in_scores, "in-distribution scores"), numbers(out_scores, "outlier scores")
    )
    n, m = at.totals
    missed, accepted = n - at.inliers, at.outliers
    # With outliers positive, thresholds rise: the curve is walked from its other end.
    rejected, lost = (m - at.outliers)[::-1], (n - at.inliers)[::-1]
    return {
        "fpr_at_95_tpr": float(at.outliers[np.argmax(20 * at.inliers >= 19 * n)] / m),
        "fpr_at_95_tpr_out": float(lost[np.argmax(20 * rejected >= 19 * m)] / n),
        "detection_error": float((m * missed + n * accepted).min() / (2 * n * m)),
        "detection_error_by_counts": float((missed + accepted).min() / (n + m)),
        "auroc": _area(at),
        "aupr_in": _average_precision(at.inliers, at.outliers),
        "aupr_out": _average_precision(rejected, lost),
        "aupr_in_prevalence_free": _average_precision(m * at.inliers, n * at.outliers),
        "aupr_out_prevalence_free": _average_precision(n * rejected, m * lost),
    }


def operating_points(in_scores: Numbers, out_scores: Numbers) -> Operating:
    """What is accepted at +∞ and at every distinct score, from the highest to the lowest."""
    # Two sorts of values and a stable one that only merges: half the time of sorting indices.
    scores = np.concatenate([np.sort(in_scores), np.sort(out_scores)])
    order = np.argsort(scores, kind="stable")[::-1]
    ranked, is_inlier = scores[order], order < len(in_scores)
    last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    inliers = np.cumsum(is_inlier)[last_of_tie]
    return Operating(
        inliers=np.concatenate([[0], inliers]),
        outliers=np.concatenate([[0], last_of_tie + 1 - inliers]),
    )


def _area(at: Operating) -> float:
    """Area under the ROC curve; its trapezoids count ties half."""
    n, m = at.totals
    twice = (np.diff(at.outliers) * (at.inliers[1:] + at.inliers[:-1])).sum()
    return float(twice / (2 * n * m))


def _average_precision(positives: Counts, negatives: Counts) -> float:
    """Σ precision · gain in recall, of cumulative counts that start with 0."""
    precision = positives[1:] / (positives[1:] + negatives[1:])
    return float((precision * np.diff(positives)).sum() / positives[-1])
