"""The forward pass of the methods, cross-entropy, and divergences between two predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sdd_eval.models.network import Network


def forward(network: Network, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return logits (n, classes), at least float32, and the activations of the network."""
    activations = network.activations(pixels)
    return at_least_float32(network.classify(activations["features"])), activations


def at_least_float32(values: Tensor) -> Tensor:
    """Return values in at least float32; bfloat16 is too coarse for softmaxes and means."""
    return values.float() if values.element_size() < 4 else values


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of logits (n, classes) with smoothed targets, batch mean.

    Targets are labels (n,) or class probabilities (n, classes).
    """
    from torch.nn import functional

    return functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return log-probabilities (n, classes) at a temperature, in at least float32."""
    return (at_least_float32(logits) / temperature).log_softmax(dim=1)


def nll(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return the NLL of labels (n,) or class probabilities (n, classes), batch mean.

    `log_p` are log-probabilities (n, classes).
    """
    from torch.nn import functional

    if targets.ndim == 1:
        return functional.nll_loss(log_p, targets)
    return -(targets * log_p).sum(dim=1).mean()


def kl(reference: Tensor, other: Tensor) -> Tensor:
    """Return KL(reference‖other) of log-probabilities (n, classes), batch mean, in nats."""
    return (reference.exp() * (reference - other)).sum(dim=1).mean()


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return T² · KL(teacher‖student) of logits at T, batch mean, with a detached teacher."""
    reference = log_softmax(teacher.detach(), temperature)
    return temperature**2 * kl(reference, log_softmax(student, temperature))


def mutual_distillation_loss(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    """Return T² · [KL(one‖two) + KL(two‖one)] of logits at T, batch mean; teachers detached."""
    first, second = log_softmax(one, temperature), log_softmax(two, temperature)
    return temperature**2 * (kl(first.detach(), second) + kl(second.detach(), first))
