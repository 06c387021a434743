"""What the methods do with a network: a forward pass, and distances between two predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sdd_eval.models.network import Network


def forward(network: Network, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits (n, classes), in float32 at least, and `Network.activations` of the pixels."""
    activations = network.activations(pixels)
    return at_least_float32(network.classify(activations["features"])), activations


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 at least: autocast's bfloat16 is too coarse for a softmax or a mean."""
    return values.float() if values.element_size() < 4 else values


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities (n, classes) at a temperature, in float32 at least."""
    return (at_least_float32(logits) / temperature).log_softmax(dim=1)


def kl(reference: Tensor, other: Tensor) -> Tensor:
    """KL(reference‖other) of log-probabilities (n, classes), batch mean, in nats."""
    return (reference.exp() * (reference - other)).sum(dim=1).mean()


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher‖student), batch mean, of logits at T; the teacher's gradient is cut."""
    reference = log_softmax(teacher.detach(), temperature)
    return temperature**2 * kl(reference, log_softmax(student, temperature))


def mutual_distillation_loss(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    """T² · [KL(one‖two) + KL(two‖one)], batch mean, of logits at T; each teacher's gradient cut."""
    first, second = log_softmax(one, temperature), log_softmax(two, temperature)
    return temperature**2 * (kl(first.detach(), second) + kl(second.detach(), first))
