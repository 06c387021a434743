"""Metrics of selective prediction: accept the most confident predictions, reject the others.

Sources: Geifman, El-Yaniv (2017), "Selective classification for deep neural networks" (risk and
coverage); Geifman, Uziel, El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural
classifiers" (AURC and excess AURC); Traub et al. (2024), "Overcoming common flaws in the evaluation
of selective classification systems" (AUGRC); Hendrycks, Gimpel (2017), "A baseline for detecting
misclassified and out-of-distribution examples in neural networks" (misclassification AUROC).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats, float64_blocks, float_array, logit_matrix
from sdd_eval.metrics.ranking import OperatingPoints, operating_points, ranking_metrics

#: The risk at which each coverage metric is measured.
COVERAGE_RISKS = {"coverage_at_1_percent_risk": 0.01, "coverage_at_5_percent_risk": 0.05}


def selective_metrics(scores: Any, correct: Any) -> dict[str, float]:
    """Return the metrics of selective prediction as fractions.

    Images are accepted in order of decreasing score. Images of equal score are accepted in random
    order, and each metric is its expectation; only coverage does not split ties.

    - `aurc`: the mean over k = 1 … n of the risk (share of wrong predictions) among the k surest.
    - `aurc_excess`: AURC minus that of the best order, all right images before all wrong ones.
    - `augrc`: area under the generalised risk (wrong and accepted, as a share of all n images) over
      coverage, by trapezoids from 0; = (1 − AUROC) · a · (1 − a) + (1 − a)² / 2 with accuracy a.
    - `coverage_at_1_percent_risk`, `coverage_at_5_percent_risk`: the largest share of images that a
      threshold accepts at no more than that risk; 0 if there is none.
    - `misclassification_auroc`: P(right > wrong) + ½ P(equal), and
      `misclassification_fpr_at_95_tpr`: the share of wrong images accepted at the highest threshold
      that at least 95 % of the right ones reach. Both are missing if all or no images are right.

    Scores (n,) are higher for surer predictions, `correct` (n,) is whether each is right. Raise
    InputError for empty arrays or different lengths, a NaN score, or a flag that is not 0 or 1.

    >>> metrics = selective_metrics([4.0, 3.0, 2.0, 1.0], [1, 1, 0, 1])  # risks 0, 0, 1/3, 1/4
    >>> {name: round(value, 4) for name, value in metrics.items() if name.startswith("a")}
    {'aurc': 0.1458, 'aurc_excess': 0.0833, 'augrc': 0.0938}
    """
    values, flags = float_array(scores, "scores"), float_array(correct, "correct flags")
    if len(values) != len(flags):
        raise InputError(f"there are {len(values)} scores and {len(flags)} correct flags")
    if ((flags != 0) & (flags != 1)).any():
        raise InputError("correct flags must be 0 or 1 (False or True), and some are neither")
    points = operating_points(values[flags == 1], values[flags == 0])
    metrics = selective_metrics_of(points)
    return {name: float(value) for name, value in metrics.items() if not np.isnan(value)}


def selective_metrics_of(points: OperatingPoints) -> dict[str, Floats]:
    """Return all metrics (…) of counts of right ("inliers") and wrong images (…, T).

    AUROC and FPR are NaN where there are only right or only wrong images.
    """
    right, wrong = points.totals
    images = right + wrong
    accepted = points.inliers + points.outliers
    risks = _sum_of_risks(accepted, points.outliers)
    # In the best order the risk is 0 among the right images and then (k − right) / k.
    harmonic = _harmonic_numbers(int(images.max()))
    best = wrong - right * (_look_up(harmonic, images) - _look_up(harmonic, right))
    sizes, new_wrong = np.diff(accepted, axis=-1), np.diff(points.outliers, axis=-1)
    area = (points.outliers[..., :-1] * sizes + new_wrong * (sizes + 1) / 2).sum(axis=-1)
    metrics = {
        "aurc": risks / images,
        "aurc_excess": np.maximum(0, (risks - best) / images),
        "augrc": (area - wrong / 2) / images**2,
    }
    for metric, risk in COVERAGE_RISKS.items():
        # Compare counts, so that 1 wrong of 100 is not above 1 % by rounding.
        allowed = points.outliers <= np.round(accepted * risk, 9)
        metrics[metric] = np.where(allowed, accepted, 0).max(axis=-1) / images
    with np.errstate(invalid="ignore", divide="ignore"):
        separation = ranking_metrics(points, ("auroc", "fpr_at_95_tpr"))
    defined = (right > 0) & (wrong > 0)
    return metrics | {
        f"misclassification_{name}": np.where(defined, value, np.nan)
        for name, value in separation.items()
    }


def _sum_of_risks(accepted: Floats, wrong: Floats) -> Floats:
    """Return Σ over k = 1 … n of the expected risk among the first k (…), from counts at ties.

    Within a tie wrong images are spread evenly: after N images with A wrong, the j-th image of a
    tie with a share r of wrong images has the risk (A + j r) / (N + j). With harmonic numbers H the
    sum over the W images of the tie is r W + (A − r N) (H(N + W) − H(N)).
    """
    before, after = accepted[..., :-1], accepted[..., 1:]
    sizes = after - before
    share = np.divide(np.diff(wrong, axis=-1), sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    harmonic = _harmonic_numbers(int(accepted.max()))
    difference = _look_up(harmonic, after) - _look_up(harmonic, before)
    terms = share * sizes + (wrong[..., :-1] - share * before) * difference
    return np.asarray(terms.sum(axis=-1))


def _harmonic_numbers(n: int) -> Floats:
    """Return the harmonic numbers H(0) … H(n)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def _look_up(table: Floats, counts: Floats) -> Floats:
    values: Floats = table[counts.astype(np.int64)]
    return values


#: Confidence scores, in the order of the columns of `confidence_scores`.
SCORES = ("msp", "max_logit", "energy", "entropy")


def confidence_scores(logits: Any) -> Floats:
    """Return the confidence scores (n, 4) of logits (n, classes), a column for each of `SCORES`.

    - `msp`: log-odds of the maximum softmax probability. They rank as the probability does, but do
      not saturate where it rounds to 1.0.
    - `max_logit`: the largest logit.
    - `energy`: the negative energy, log Σ exp.
    - `entropy`: the negative entropy of the softmax, in nats, without cancellation near 0.

    Raises:
        InputError: there are fewer than two classes, or logits are NaN or infinite.

    >>> confidence_scores([[0.0, 0.0], [100.0, 0.0]]).round(3).tolist()
    [[0.0, 0.0, 0.693, -0.693], [100.0, 100.0, 100.0, -0.0]]
    """
    values = logit_matrix(logits)
    if values.shape[1] < 2:
        raise InputError("the logits have 1 class; confidence scores need at least 2")
    scores = np.empty((len(values), len(SCORES)))
    for rows, block in float64_blocks(values):
        scores[rows] = _block_scores(block)
    return scores


def _block_scores(block: Floats) -> Floats:
    """Return the scores of a block; `others` is Σ exp(z − max z) over the other classes."""
    top = block.argmax(axis=1)[:, None]
    largest = np.take_along_axis(block, top, axis=1)
    margins = largest - block
    relative = np.exp(-margins)
    np.put_along_axis(relative, top, 0.0, axis=1)
    others = relative.sum(axis=1)
    entropy = np.log1p(others) + (relative * margins).sum(axis=1) / (1 + others)
    # −log Σ exp(−margin) over the other classes, exact where all of them underflow to 0
    np.put_along_axis(margins, top, np.inf, axis=1)
    nearest = margins.min(axis=1)
    log_odds = nearest - np.log(np.exp(nearest[:, None] - margins).sum(axis=1))
    energy = largest[:, 0] + np.log1p(others)
    return np.stack([log_odds, largest[:, 0], energy, -entropy], axis=1)
