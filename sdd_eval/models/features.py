"""Logits and penultimate features of any classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def logits_and_features(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return logits (n, classes) and features (n, width) from one forward pass.

    The features are the input of the last linear layer, recorded by a hook. They are None if the
    logits are not the output of that layer.
    """
    recorded: list[tuple[Tensor, Tensor]] = []
    last = last_linear(model)
    handle = last and last.register_forward_hook(
        lambda _, inputs, output: recorded.append((inputs[0], output))
    )
    try:
        with torch.no_grad():
            logits = model(pixels)
    finally:
        if handle:
            handle.remove()
    if not recorded:
        return logits, None
    features, output = recorded[-1]
    same = output is logits or torch.equal(output, logits)  # the latter waits for a GPU
    return logits, features if features.ndim == 2 and same else None


def last_linear(model: nn.Module) -> nn.Linear | None:
    """Return the last linear layer: module `classifier` if the model has one, else of all."""
    module = getattr(model, "classifier", model)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers else None
