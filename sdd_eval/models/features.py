"""What any classifier makes of images: its logits, and what its last linear layer takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def logits_and_features(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits (n, classes), and features (n, width), in one forward pass.

    Features are None where the logits do not come straight out of a linear layer. They are caught
    on their way into it, so any module will do.
    """
    caught: list[tuple[Tensor, Tensor]] = []
    last = last_linear(model)
    handle = last and last.register_forward_hook(
        lambda _, inputs, output: caught.append((inputs[0], output))
    )
    try:
        with torch.no_grad():
            logits = model(pixels)
    finally:
        if handle:
            handle.remove()
    if not caught:
        return logits, None
    features, given = caught[-1]
    same = given is logits or torch.equal(given, logits)  # the latter waits for a GPU
    return logits, features if features.ndim == 2 and same else None


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The last linear layer: of `classifier` where there is one, as in `Network`, else of all."""
    within = getattr(model, "classifier", model)
    layers = [each for each in within.modules() if isinstance(each, nn.Linear)]
    return layers[-1] if layers else None
