"""The Brier score: squared distance of the probabilities from what happened.

Source: Brier (1950), "Verification of forecasts expressed in terms of probability".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import Numbers, class_indices
from sdd_eval.metrics.logits import blocks, logit_matrix


def brier_of_images(logits: Any, labels: Any) -> Numbers:
    """Return the Brier score of each image (n,): Σ over classes of (p − [class is the label])².

    `logits` are (n, classes), `labels` (n,). This is Brier's own sum over all classes, from 0 to 2;
    some libraries give half of it for two classes, or its mean over classes.

    Raises:
        InputError: NaN or infinity among the logits, or labels that do not fit them.

    >>> brier_of_images([[0.0, 0.0], [1000.0, 0.0]], [0, 1])
    array([0.5, 2. ])
    """
    values = logit_matrix(logits)
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    scores = np.empty(len(values))
    for rows, block in blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
        block[np.arange(len(block)), truth[rows]] -= 1
        scores[rows] = np.square(block, out=block).sum(axis=1)
    return scores
