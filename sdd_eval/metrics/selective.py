"""How well one score tells right predictions from wrong ones: keep the surest, decline the rest.

Sources: Geifman, El-Yaniv (2017), "Selective classification for deep neural networks" (risk and
coverage); Geifman, Uziel, El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural
classifiers" (AURC and excess AURC); Traub et al. (2024), "Overcoming common flaws in the evaluation
of selective classification systems" (AUGRC); Hendrycks, Gimpel (2017) (AUROC of right and wrong).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats, float64_blocks, float_array, logit_matrix
from sdd_eval.metrics.ranking import (
    BLOCK,
    OperatingPoints,
    ranking_metrics,
    weighted_operating_points,
)

#: The risks at which coverage is measured, and what that is called.
COVERAGE_RISKS = {"coverage_at_1_percent_risk": 0.01, "coverage_at_5_percent_risk": 0.05}


def selective_metrics(scores: Any, correct: Any) -> dict[str, float]:
    """Metrics of selective prediction, fractions.

    `scores` (n,) are higher where the network is surer, `correct` (n,) says what is right. Images
    are accepted from the highest score on; equal scores in random order, of which every number
    here is the expectation, except that coverage does not cut through equal scores.

    - `aurc`: mean over k = 1 … n of the risk (share of wrong ones) among the k surest.
    - `aurc_excess`: that less what it is when all right images come before all wrong ones.
    - `augrc`: area under the generalised risk, wrong and accepted ones as a share of all n images,
      over coverage, by trapezoids from 0; = (1 − AUROC) · a · (1 − a) + (1 − a)² / 2, accuracy a.
    - `coverage_at_1_percent_risk`, `coverage_at_5_percent_risk`: the largest share of images that
      are accepted at a threshold with no more risk; 0 where there is none.
    - `misclassification_auroc`: P(right > wrong) + ½ P(equal), and
      `misclassification_fpr_at_95_tpr`: share of wrong images at the highest threshold that at
      least 95 % of the right ones reach. Neither is there where all is right, or all wrong.

    Raises:
        InputError: no images, arrays of different lengths, NaN, or flags that are not 0 or 1.

    >>> found = selective_metrics([4.0, 3.0, 2.0, 1.0], [1, 1, 0, 1])  # risks 0, 0, 1/3, 1/4
    >>> {name: round(value, 4) for name, value in found.items() if name.startswith("a")}
    {'aurc': 0.1458, 'aurc_excess': 0.0833, 'augrc': 0.0938}
    """
    sure, right = _checked(scores, correct)
    once = np.ones((1, len(sure)))
    found = weighted_selective_metrics(sure, right)(once)
    return {name: float(value[0]) for name, value in found.items() if not np.isnan(value[0])}


def weighted_selective_metrics(scores: Any, correct: Any) -> Callable[[Any], dict[str, Floats]]:
    """From weights (k, n) of images to `selective_metrics`, each (k,), as if each came so often.

    Where the weights leave only right or only wrong images, AUROC and FPR are NaN. Weights are
    whole numbers.

    Raises:
        InputError: see `selective_metrics`.

    >>> found = weighted_selective_metrics([2.0, 1.0], [1, 0])(np.array([[1, 1], [0, 2]]))
    >>> found["aurc"].tolist()
    [0.25, 1.0]
    """
    sure, right = _checked(scores, correct)
    points = weighted_operating_points(sure, right)
    rows = max(1, BLOCK // len(sure))

    def found(weights: Any) -> dict[str, Floats]:
        float64_blocks = (weights[start : start + rows] for start in range(0, len(weights), rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [_measured(points(block)) for block in float64_blocks]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return found


def _measured(at: OperatingPoints) -> dict[str, Floats]:
    """All metrics of right and wrong images accepted (k, T), thresholds falling."""
    right, wrong = at.totals
    images = right + wrong
    accepted = at.inliers + at.outliers
    risks = _summed_risks(accepted, at.outliers)
    # In the best order the risk is 0 among the right ones and then (k − right) / k.
    harmonic = _harmonic(int(images.max()))
    best = wrong - right * (_at(harmonic, images) - _at(harmonic, right))
    sizes, new = np.diff(accepted, axis=-1), np.diff(at.outliers, axis=-1)
    summed = (at.outliers[:, :-1] * sizes + new * (sizes + 1) / 2).sum(axis=-1)
    found = {
        "aurc": risks / images,
        "aurc_excess": np.maximum(0, (risks - best) / images),
        "augrc": (summed - wrong / 2) / images**2,
    }
    for metric, most in COVERAGE_RISKS.items():
        # As counts, so that 1 wrong of 100 is no more than 1 %, whatever .01 is in binary.
        allowed = at.outliers <= np.round(accepted * most, 9)
        found[metric] = np.where(allowed, accepted, 0).max(axis=-1) / images
    apart = ranking_metrics(at, ("auroc", "fpr_at_95_tpr"))
    defined = (right > 0) & (wrong > 0)
    found |= {f"misclassification_{m}": np.where(defined, v, np.nan) for m, v in apart.items()}
    return found


def _summed_risks(accepted: Floats, wrong: Floats) -> Floats:
    """Σ over k = 1 … n of the expected risk (k,) among the k first, of counts at ends of ties.

    Among equal scores wrong ones come evenly: after N images with A wrong, the j-th of a tie with a
    share r of wrong ones has the risk (A + j r) / (N + j), whose sum is of harmonic numbers H:
    r W + (A − r N) (H(N + W) − H(N)) over the W images of the tie.
    """
    before, reached = accepted[:, :-1], accepted[:, 1:]
    sizes = reached - before
    share = np.divide(np.diff(wrong, axis=-1), sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    harmonic = _harmonic(int(accepted[:, -1].max()))
    spread = _at(harmonic, reached) - _at(harmonic, before)
    return np.asarray((share * sizes + (wrong[:, :-1] - share * before) * spread).sum(axis=-1))


def _harmonic(n: int) -> Floats:
    """Harmonic numbers H(0) … H(n)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def _at(table: Floats, places: Floats) -> Floats:
    found: Floats = table[places.astype(np.int64)]
    return found


def _checked(scores: Any, correct: Any) -> tuple[Floats, Floats]:
    """Scores, and right ones (1.0 or 0.0)."""
    sure, right = float_array(scores, "scores"), float_array(correct, "correct flags")
    if len(sure) != len(right):
        raise InputError(f"there are {len(sure)} scores and {len(right)} correct flags")
    if ((right != 0) & (right != 1)).any():
        raise InputError("correct flags are 0 or 1 (False or True), and some are neither")
    return sure, right


#: The scores, in the order of their columns.
SCORES = ("msp", "max_logit", "energy", "entropy")


def confidence_scores(logits: Any) -> Floats:
    """Scores (n, 4) float64 of logits (n, classes), a column for each of `SCORES`, T = 1.

    - `msp`: log-odds of the largest softmax probability. They rank as the probability does, and
      go on where it has become 1.0 in floating point.
    - `max_logit`: the largest logit.
    - `energy`: minus the energy, log Σ exp.
    - `entropy`: minus the entropy of the softmax, in nats; kept from cancelling near 0.

    Raises:
        InputError: fewer than two classes, or NaN or infinity among the logits.

    >>> confidence_scores([[0.0, 0.0], [100.0, 0.0]]).round(3).tolist()
    [[0.0, 0.0, 0.693, -0.693], [100.0, 100.0, 100.0, -0.0]]
    """
    values = logit_matrix(logits)
    if values.shape[1] < 2:
        raise InputError("the logits have 1 class; to be sure of one needs 2 or more")
    scores = np.empty((len(values), len(SCORES)))
    for rows, block in float64_blocks(values):
        scores[rows] = _of_block(block)
    return scores


def _of_block(block: Floats) -> Floats:
    """Scores of some rows. `others` is all the probability that is not the largest's, relative."""
    top = block.argmax(axis=1)[:, None]
    largest = np.take_along_axis(block, top, axis=1)
    behind = largest - block
    relative = np.exp(-behind)
    np.put_along_axis(relative, top, 0.0, axis=1)
    others = relative.sum(axis=1)
    entropy = np.log1p(others) + (relative * behind).sum(axis=1) / (1 + others)
    # −log Σ exp(−behind) over the others, exact where every one of them underflows to 0
    np.put_along_axis(behind, top, np.inf, axis=1)
    nearest = behind.min(axis=1)
    log_odds = nearest - np.log(np.exp(nearest[:, None] - behind).sum(axis=1))
    energy = largest[:, 0] + np.log1p(others)
    return np.stack([log_odds, largest[:, 0], energy, -entropy], axis=1)
