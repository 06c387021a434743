"""A batch of images and what a network makes of it, each computed once, when it is first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from sdd_eval.device import full_float32
from sdd_eval.errors import InputError
from sdd_eval.models.features import logits_and_features


@dataclass(frozen=True)
class Seen:
    """What a network made of images: float32 logits (n, classes) and features (n, width).

    Features are what its last linear layer takes; None where it does not end in one, or where
    they were not kept.
    """

    logits: Tensor
    features: Tensor | None = None

    def part(self, rows: slice) -> Seen:
        """The same of some of the images."""
        return Seen(self.logits[rows], None if self.features is None else self.features[rows])


class Batch:
    """Images of [0, 1], and the network that looks at them.

    All detectors share one: `logits` and `features` cost one forward pass together, or none where
    they are known from an earlier pass. Nothing is read from a disk before it is asked for.
    """

    def __init__(
        self,
        model: nn.Module,
        pixels: Tensor | Callable[[], Tensor],
        recall: Callable[[], Seen | None] = lambda: None,
    ) -> None:
        """A network, pixels or what gives them, and what gives that which is known of these."""
        self.model = model
        self._given = pixels
        self._recall = recall

    @cached_property
    def pixels(self) -> Tensor:
        """Float32 (n, channels, side, side) in [0, 1]."""
        return self._given if isinstance(self._given, Tensor) else self._given()

    @cached_property
    def _known(self) -> Seen | None:
        return self._recall()

    @property
    def logits(self) -> Tensor:
        """Logits (n, classes), computed in float32, as float64."""
        return (self._known or self.computed).logits.double()

    @property
    def features(self) -> Tensor:
        """What the last linear layer takes (n, width), computed in float32, as float64.

        Raises:
            InputError: the network does not end in a linear layer.
        """
        known = None if self._known is None else self._known.features
        found = self.computed.features if known is None else known
        if found is None:
            raise not_linear(self.model)
        return found.double()

    def logits_of(self, pixels: Tensor) -> Tensor:
        """Logits (n, classes) of other pixels, as float64."""
        with torch.no_grad(), full_float32():
            logits: Tensor = self.model(pixels)
        return logits.double()

    @cached_property
    def computed(self) -> Seen:
        """What the network makes of the pixels now."""
        logits, features = logits_and_features(self.model, self.pixels)
        return Seen(logits.float(), None if features is None else features.float())

    @property
    def is_computed(self) -> bool:
        """Whether anything has asked for that."""
        return "computed" in vars(self)


def not_linear(model: nn.Module) -> InputError:
    """The error for a network whose logits are no linear function of a feature."""
    last = getattr(model, "classifier", None)
    what = f"classifier is a {type(last).__name__}" if last is not None else "last layer is another"
    return InputError(
        "this detector needs features: the network must end in a linear layer "
        f"(torch.nn.Linear), but its {what}"
    )
