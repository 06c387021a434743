"""Four ways to read off logits how sure a network is; a higher score means surer.

Sources: Hendrycks, Gimpel (2017), maximum softmax probability; Hendrycks et al. (2022), "Scaling
out-of-distribution detection for real-world settings", maximum logit; Liu et al. (2020),
"Energy-based out-of-distribution detection"; Shannon (1948), entropy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Numbers
from sdd_eval.metrics.logits import blocks, logit_matrix

#: The scores, in the order of their columns.
SCORES = ("msp", "max_logit", "energy", "entropy")


def confidence_scores(logits: Any) -> Numbers:
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
    for rows, block in blocks(values):
        scores[rows] = _of_block(block)
    return scores


def _of_block(block: Numbers) -> Numbers:
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
