"""A batch of images and what a network makes of it, each computed once, when it is first asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError
from sdd_eval.evaluators.gradients import full_float32


@dataclass(frozen=True)
class Batch:
    """Pixels (n, channels, side, side) in [0, 1], and the network that looks at them.

    All detectors share one: `logits` and `features` cost one forward pass together.
    """

    model: nn.Module
    pixels: Tensor

    @property
    def logits(self) -> Tensor:
        """Logits (n, classes), computed in float32, as float64."""
        return self._seen[0].double()

    @property
    def features(self) -> Tensor:
        """What the last linear layer takes (n, width), computed in float32, as float64.

        Raises:
            InputError: the network does not end in a linear layer.
        """
        _, features = self._seen
        if features is None:
            raise not_linear(self.model)
        return features.double()

    def logits_of(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes) of other pixels, as float64."""
        with torch.no_grad(), full_float32():
            logits: Tensor = self.model(pixels)
        return logits.double()

    @cached_property
    def _seen(self) -> tuple[Tensor, Tensor | None]:
        """Logits and features, as the network gives them; no features where it has no such layer.

        The features are caught on their way into the layer, so any module will do.
        """
        caught: list[tuple[Tensor, Tensor]] = []
        last = last_linear(self.model)
        handle = last and last.register_forward_hook(
            lambda _, inputs, output: caught.append((inputs[0], output))
        )
        try:
            with torch.no_grad(), full_float32():
                logits = self.model(self.pixels)
        finally:
            if handle:
                handle.remove()
        if not caught:
            return logits, None
        features, given = caught[-1]
        same = given is logits or torch.equal(given, logits)  # the latter waits for a GPU
        ends_there = features.ndim == 2 and same
        return logits, features if ends_there else None


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The last linear layer: of `classifier` where there is one, as in `Network`, else of all."""
    within = getattr(model, "classifier", model)
    layers = [each for each in within.modules() if isinstance(each, nn.Linear)]
    return layers[-1] if layers else None


def not_linear(model: nn.Module) -> InputError:
    """The error for a network whose logits are no linear function of a feature."""
    last = getattr(model, "classifier", None)
    what = f"classifier is a {type(last).__name__}" if last is not None else "last layer is another"
    return InputError(
        "this detector needs features: the network must end in a linear layer "
        f"(torch.nn.Linear), but its {what}"
    )
