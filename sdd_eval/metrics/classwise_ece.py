"""Calibration error of every class's probability, not only of the largest one.

Source: Kull et al. (2019), "Beyond temperature scaling: obtaining well-calibrated multi-class
probabilities with Dirichlet calibration".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdd_eval.metrics.arrays import class_indices
from sdd_eval.metrics.calibration import at_least_one, bin_index
from sdd_eval.metrics.logits import blocks, logit_matrix


def classwise_ece(logits: Any, labels: Any, bins: int = 10) -> float:
    """Classwise expected calibration error, a fraction: mean over classes of each class's ECE.

    A class's ECE is over all n images: the probability that the softmax gives the class, against
    whether the class is the label, in equal-width bins as in `calibration.ece`. Classes that no
    label names count like the others. `logits` are (n, classes), `labels` (n,).

    Raises:
        InputError: fewer than one bin, NaN or infinity among the logits, or labels that do not
            fit them.

    >>> classwise_ece([[0.0, 0.0], [0.0, 0.0]], [0, 0])
    0.5
    """
    at_least_one(bins)
    values = logit_matrix(logits)
    images, classes = values.shape
    truth = class_indices(labels, images=images, classes=classes)
    gaps = np.zeros(classes * bins)
    for rows, block in blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
        place = np.arange(classes) * bins + bin_index(block, bins)
        own = truth[rows, None]
        labelled = np.take_along_axis(place, own, axis=1)[:, 0]
        gaps += np.bincount(place.ravel(), block.ravel(), minlength=len(gaps))
        gaps -= np.bincount(labelled, minlength=len(gaps))
    return float(np.abs(gaps).sum() / (images * classes))
