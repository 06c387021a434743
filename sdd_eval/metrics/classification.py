"""Correctness, confidence, negative log-likelihood and Brier score of a classifier's logits.

`logits` are (n, classes), `labels` class indices (n,); everything is computed in float64. All
functions raise InputError for NaN or infinite logits, or labels that do not match them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import (
    Floats,
    finite_logits,
    float64_blocks,
    logit_matrix,
    logits_and_targets,
    probability_blocks,
)
from sdd_eval.statistics.statistic import Quantity, Statistic, means


def log_softmax(logits: Any, temperature: float = 1.0) -> Floats:
    """Return the log-softmax (n, classes) of logits divided by a temperature.

    >>> log_softmax([[1000.0, 0.0]])
    array([[    0., -1000.]])
    """
    scaled = finite_logits(logit_matrix(logits)) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    normalised: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def confidence_and_correct(logits: Any, labels: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the largest softmax probability (n,) and whether its class is the label (n,).

    Among equal logits the first class is predicted. The temperature is 1.

    >>> confidence, correct = confidence_and_correct([[0.0, 0.0, -1e9]], [0])
    >>> float(confidence[0]), bool(correct[0])
    (0.5, True)
    """
    values, targets = logits_and_targets(logits, labels)
    confidence, predicted = np.empty(len(values)), np.empty(len(values), dtype=np.int64)
    for rows, block in float64_blocks(values):
        predicted[rows] = block.argmax(axis=1)
        block -= np.take_along_axis(block, predicted[rows, None], axis=1)
        confidence[rows] = 1 / np.exp(block, out=block).sum(axis=1)
    return confidence, predicted == targets


def top_k_correct(logits: Any, labels: Any, k: int = 5) -> NDArray[np.bool_]:
    """Return whether the label of each image is among its k largest logits (n,).

    Among equal logits earlier classes rank first.

    >>> top_k_correct([[3.0, 2.0, 1.0]] * 2, [1, 2], k=2)
    array([ True, False])
    """
    matrix, targets = logits_and_targets(logits, labels)
    values = finite_logits(matrix)
    target_logits = values[np.arange(len(values)), targets][:, None]
    earlier = np.arange(values.shape[1]) < targets[:, None]
    rank = ((values > target_logits) | ((values == target_logits) & earlier)).sum(axis=1)
    correct: NDArray[np.bool_] = rank < k
    return correct


def nll(logits: Any, labels: Any, temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood of the labels, in nats.

    >>> round(nll([[0.0, 0.0]], [1]), 6)
    0.693147
    """
    return float(nll_per_image(logits, labels, temperature).mean())


def nll_per_image(logits: Any, labels: Any, temperature: float = 1.0) -> Floats:
    """Return the negative log-likelihood of each image's label (n,), in nats.

    >>> nll_per_image([[0.0, 0.0], [1000.0, 0.0]], [1, 1]).round(6)
    array([6.93147e-01, 1.00000e+03])
    """
    values, targets = logits_and_targets(logits, labels)
    losses = np.empty(len(values))
    for rows, block in float64_blocks(values):
        log_probabilities = log_softmax(block, temperature)
        losses[rows] = -np.take_along_axis(log_probabilities, targets[rows, None], axis=1)[:, 0]
    return losses


def brier_per_image(logits: Any, labels: Any) -> Floats:
    """Return the Brier score of each image (n,): Σ over classes of (p − [class is the label])².

    This is Brier's (1950) sum over all classes, from 0 to 2; some libraries return half of it for
    two classes, or its mean over classes.

    >>> brier_per_image([[0.0, 0.0], [1000.0, 0.0]], [0, 1])
    array([0.5, 2. ])
    """
    values, targets = logits_and_targets(logits, labels)
    scores = np.empty(len(values))
    for rows, block in probability_blocks(values):
        block[np.arange(len(block)), targets[rows]] -= 1
        scores[rows] = np.square(block, out=block).sum(axis=1)
    return scores


def runner_up_labels(logits: Any) -> NDArray[np.int64]:
    """Return the class of the second-largest logit of each image (n,); 0 if there is one class.

    >>> runner_up_labels([[3.0, 1.0, 2.0]])
    array([2])
    """
    values = logit_matrix(logits)
    if values.shape[1] < 2:
        return np.zeros(len(values), dtype=np.int64)
    return np.argpartition(-values, 1, axis=1)[:, 1]


def loss_statistic(
    quantity: Quantity,
    loss: Callable[[Any, Any], Floats],
    logits: Any,
    labels: Any,
    highest: float = math.inf,
) -> Statistic:
    """Return a mean loss as a statistic; its interval counts the runner-up's loss for an error.

    `loss` returns the loss of each image (n,), and `highest` is the largest possible loss.

    >>> quantity = Quantity("nll", "nats", {}, "")
    >>> loss_statistic(quantity, nll_per_image, [[0.0, 0.0]], [1]).values.round(6)
    array([0.693147])
    """
    pseudo_loss = float(loss(logits, runner_up_labels(logits)).mean())
    losses = loss(logits, labels)
    return means([quantity], [losses], pseudo_losses=[pseudo_loss], highest=highest)
