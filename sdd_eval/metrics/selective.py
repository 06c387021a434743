"""How well one score tells right predictions from wrong ones: keep the surest, decline the rest.

Sources: Geifman, El-Yaniv (2017), "Selective classification for deep neural networks" (risk and
coverage); Geifman, Uziel, El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural
classifiers" (AURC and excess AURC); Traub et al. (2024), "Overcoming common flaws in the evaluation
of selective classification systems" (AUGRC); Hendrycks, Gimpel (2017) (AUROC of right and wrong).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Numbers, numbers
from sdd_eval.metrics.detection import ood_metrics

#: The risks at which coverage is measured, and what that is called.
COVERAGES = {"coverage_at_1_percent_risk": 0.01, "coverage_at_5_percent_risk": 0.05}


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
    ranked, right = _ranked(scores, correct)
    images = len(right)
    at_end = np.append(ranked[1:] != ranked[:-1], True)
    wrong = _expected_wrong(1 - right, at_end)
    accepted = np.arange(1, images + 1)
    ideal = np.maximum(0, accepted - right.sum())
    risk = wrong / accepted
    aurc = risk.mean()
    found = {
        "aurc": float(aurc),
        "aurc_excess": max(0.0, float(aurc - (ideal / accepted).mean())),
        "augrc": float((wrong.sum() - wrong[-1] / 2) / images**2),
    }
    for metric, most in COVERAGES.items():
        # As counts, so that 1 wrong of 100 is no more than 1 %, whatever .01 is in binary.
        allowed = accepted[at_end & (wrong <= np.round(accepted * most, 9))]
        found[metric] = float(allowed.max(initial=0) / images)
    if 0 < right.sum() < images:
        apart = ood_metrics(ranked[right == 1], ranked[right == 0])
        found["misclassification_auroc"] = apart["auroc"]
        found["misclassification_fpr_at_95_tpr"] = apart["fpr_at_95_tpr"]
    return found


def _ranked(scores: Any, correct: Any) -> tuple[Numbers, Numbers]:
    """Scores and right ones (1.0 or 0.0), the highest score first."""
    sure, right = numbers(scores, "scores"), numbers(correct, "correct flags")
    if len(sure) != len(right):
        raise InputError(f"there are {len(sure)} scores and {len(right)} correct flags")
    if ((right != 0) & (right != 1)).any():
        raise InputError("correct flags are 0 or 1 (False or True), and some are neither")
    order = np.argsort(-sure, kind="stable")
    return sure[order], right[order]


def _expected_wrong(wrong: Numbers, at_end: Any) -> Numbers:
    """Wrong ones among the k first, k = 1 … n, on average over all orders of equal scores."""
    ends = np.flatnonzero(at_end)
    reached = np.cumsum(wrong)[ends]
    positions = np.concatenate([[0], ends + 1])
    counts = np.concatenate([[0.0], reached])
    expected: Numbers = np.interp(np.arange(1, len(wrong) + 1), positions, counts)
    return expected
