"""Input gradients of the cross-entropy that do not vanish when the softmax saturates.

In float32, the 1 − p of an over-confident network underflows to 0, and computing the loss in
float64 does not help, because the backward pass is float32. Here the gradient at the logits is
computed in float64 without the term 1 − p, and divided per image by its largest magnitude before
it is propagated back through the network. The sign is unchanged and nothing underflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.overrides import TorchFunctionMode

from sdd_eval.device import full_float32

#: Logits (n, classes) and labels (n,) → a scalar loss.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: Logits (n, classes) and labels (n,) → gradient at the logits (n, classes).
LogitGradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def logit_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ∂CE/∂logits (n, classes) in float64, divided per image by its largest magnitude.

    The gradient is p_j for j ≠ y and −Σ_{j≠y} p_j for y, which has the largest magnitude. After
    division by it, the other entries are the softmax of the logits without y, and the entry of y is
    −1.
    """
    at_label = one_hot(labels, logits.shape[1]).bool()
    others = logits.detach().double().masked_fill(at_label, -torch.inf).softmax(dim=1)
    return others.masked_fill(at_label, -1.0)


def margin_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ∂(max_{j≠y} z_j − z_y)/∂logits (n, classes), which cannot saturate.

    Source: Carlini, Wagner (2017), "Towards evaluating the robustness of neural networks".
    """
    label = one_hot(labels, logits.shape[1])
    others = logits.detach().masked_fill(label.bool(), -torch.inf).argmax(dim=1)
    return (one_hot(others, logits.shape[1]) - label).to(logits.dtype)


class ReplaceGradient(torch.autograd.Function):
    """Identity on the logits whose backward pass returns a given gradient."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        ctx.save_for_backward(gradient)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the given gradient, regardless of the loss that follows."""
        (gradient,) = ctx.saved_tensors
        return gradient.to(gradients[0].dtype), None


class LossGradient(TorchFunctionMode):
    """Context in which every cross-entropy has the given gradient at the logits.

    The gradient suits untargeted attacks, which maximise the loss. On exit, `used` is True if a
    cross-entropy was computed, that is, if it is the attack's loss.
    """

    def __init__(self, gradient: LogitGradient = logit_gradient) -> None:
        super().__init__()
        self.gradient, self.used = gradient, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace the gradient if `func` is the cross-entropy."""
        if func is cross_entropy and args[0].requires_grad:
            self.used = True
            logits, labels, *others = args
            replaced = ReplaceGradient.apply(logits, self.gradient(logits, labels))
            args = (replaced, labels, *others)
        return func(*args, **(kwargs or {}))


def stable_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the summed cross-entropy with the gradient `logit_gradient`."""
    return plain_loss(ReplaceGradient.apply(logits, logit_gradient(logits, labels)), labels)


def plain_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the float32 cross-entropy, which saturates.

    The loss is summed, so that the gradient of an image does not underflow earlier in a larger
    batch.
    """
    return cross_entropy(logits, labels, reduction="sum")


def input_gradients(
    model: torch.nn.Module,
    pixels: torch.Tensor,
    losses: Sequence[tuple[Loss, float]],
    labels: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Return ∂ loss(logits / T, labels) / ∂ pixels for each (loss, T), with a single forward pass.

    `labels` (n,) default to the network's own predictions. Each gradient has the shape of the
    pixels (n, channels, side, side).
    """
    if not losses:
        return []
    with torch.enable_grad(), full_float32():
        inputs = pixels.detach().clone().requires_grad_(True)
        logits = model(inputs)
        targets = logits.detach().argmax(dim=1) if labels is None else labels
        return [
            torch.autograd.grad(loss(logits / temperature, targets), inputs, retain_graph=True)[0]
            for loss, temperature in losses
        ]


def is_zero(gradient: torch.Tensor) -> torch.Tensor:
    """Return whether each image's gradient is zero everywhere (n,)."""
    return (gradient == 0).flatten(1).all(dim=1)
