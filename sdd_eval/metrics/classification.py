"""Which images a classifier gets right, how sure it is, and the negative log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import (
    Floats,
    class_indices,
    finite_logits,
    float64_blocks,
    logit_matrix,
)


def log_softmax(logits: Any, temperature: float = 1.0) -> Floats:
    """Logarithms of the softmax of logits (n, classes) divided by a temperature.

    Raises:
        InputError: there are no logits, or some are NaN or infinite.

    >>> log_softmax([[1000.0, 0.0]])
    array([[    0., -1000.]])
    """
    scaled = finite_logits(logit_matrix(logits)) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    normalised: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def confidence_and_correct(logits: Any, labels: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """The largest softmax probability of each image at T = 1, and whether it is the label's.

    In float64, in one pass over blocks of images. Of equal logits the first class counts.

    Raises:
        InputError: NaN or infinity among the logits, or labels that do not fit them.

    >>> confidence, correct = confidence_and_correct([[0.0, 0.0, -1e9]], [0])
    >>> float(confidence[0]), bool(correct[0])
    (0.5, True)
    """
    values = logit_matrix(logits)
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    confidence, predicted = np.empty(len(values)), np.empty(len(values), dtype=np.int64)
    for rows, block in float64_blocks(values):
        predicted[rows] = block.argmax(axis=1)
        block -= np.take_along_axis(block, predicted[rows, None], axis=1)
        confidence[rows] = 1 / np.exp(block, out=block).sum(axis=1)
    return confidence, predicted == truth


def top_k_correct(logits: Any, labels: Any, k: int = 5) -> NDArray[np.bool_]:
    """Of each image (n,), whether fewer than k classes come before the label's.

    >>> top_k_correct([[3.0, 2.0, 1.0]] * 2, [1, 2], k=2)
    array([ True, False])
    """
    values = finite_logits(logit_matrix(logits))
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    own = values[np.arange(len(values)), truth][:, None]
    earlier = np.arange(values.shape[1]) < truth[:, None]
    before = ((values > own) | ((values == own) & earlier)).sum(axis=1)
    found: NDArray[np.bool_] = before < k
    return found


def nll(logits: Any, labels: Any, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels, in nats.

    >>> round(nll([[0.0, 0.0]], [1]), 6)
    0.693147
    """
    return float(nll_per_image(logits, labels, temperature).mean())


def nll_per_image(logits: Any, labels: Any, temperature: float = 1.0) -> Floats:
    """Negative log-likelihood of the label of each image (n,), in nats.

    >>> nll_per_image([[0.0, 0.0], [1000.0, 0.0]], [1, 1]).round(6)
    array([6.93147e-01, 1.00000e+03])
    """
    values = logit_matrix(logits)
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    found = np.empty(len(values))
    for rows, block in float64_blocks(values):
        logarithms = log_softmax(block, temperature)
        found[rows] = -np.take_along_axis(logarithms, truth[rows, None], axis=1)[:, 0]
    return found


def brier_per_image(logits: Any, labels: Any) -> Floats:
    """Return the Brier score of each image (n,): Σ over classes of (p − [class is the label])².

    `logits` are (n, classes), `labels` (n,). This is Brier's own sum over all classes, from 0 to 2;
    some libraries give half of it for two classes, or its mean over classes.

    Raises:
        InputError: NaN or infinity among the logits, or labels that do not fit them.

    >>> brier_per_image([[0.0, 0.0], [1000.0, 0.0]], [0, 1])
    array([0.5, 2. ])
    """
    values = logit_matrix(logits)
    truth = class_indices(labels, images=len(values), classes=values.shape[1])
    scores = np.empty(len(values))
    for rows, block in float64_blocks(values):
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)
        block[np.arange(len(block)), truth[rows]] -= 1
        scores[rows] = np.square(block, out=block).sum(axis=1)
    return scores
