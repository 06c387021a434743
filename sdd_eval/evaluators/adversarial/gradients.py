"""Gradients of the cross-entropy with respect to pixels that a saturated softmax does not erase.

An over-confident network's 1 − p underflows to 0, in float32 and after `logits.double()` alike,
because the backward pass is float32. Here the gradient at the logits is formed in float64 without
1 − p and divided per image by its largest magnitude before it goes back through the network: the
sign is the same, and nothing underflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sdd_eval.device import full_float32

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def logit_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """∂CE/∂logits (n, classes) in float64, divided per image by its largest magnitude.

    The gradient is p_j for j ≠ y and −Σ_{j≠y} p_j for y, whose magnitude is the largest; divided
    by it, the others are the softmax of the logits without y, and y has −1.
    """
    at_label = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    others = logits.detach().double().masked_fill(at_label, -torch.inf).softmax(dim=1)
    return others.masked_fill(at_label, -1.0)


class StableGradient(torch.autograd.Function):
    """The identity on logits; backwards it sends the stable gradient, whatever loss follows."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The logits as they are."""
        ctx.save_for_backward(logits, labels)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient of the cross-entropy with the labels, up to a positive factor per image."""
        logits, labels = ctx.saved_tensors
        return logit_gradient(logits, labels).to(logits.dtype), None


def stable_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy whose gradient is the stable one."""
    stable: torch.Tensor = StableGradient.apply(logits, labels)
    return plain_loss(stable, labels)


def plain_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy as everyone writes it: float32, saturating.

    Summed, so that an image's gradient does not underflow sooner in a larger batch.
    """
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


def own_prediction_gradients(
    model: torch.nn.Module, pixels: torch.Tensor, losses: Sequence[tuple[Loss, float]]
) -> list[torch.Tensor]:
    """∂ loss(logits / T, own argmax) / ∂ pixels for each (loss, T); one forward pass for all.

    Every gradient has the shape of the pixels (n, channels, side, side).
    """
    with torch.enable_grad(), full_float32():
        inputs = pixels.detach().clone().requires_grad_(True)
        logits = model(inputs)
        predictions = logits.detach().argmax(dim=1)
        return [
            torch.autograd.grad(
                loss(logits / temperature, predictions),
                inputs,
                retain_graph=index + 1 < len(losses),
            )[0]
            for index, (loss, temperature) in enumerate(losses)
        ]


def is_zero(gradient: torch.Tensor) -> torch.Tensor:
    """Whether each image's gradient is zero everywhere (n,)."""
    return (gradient == 0).flatten(1).all(dim=1)
