"""The inputs of detectors: a batch of images to score, and the training images to fit on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from sdd_eval.data.images import ImageSet
from sdd_eval.device import full_float32
from sdd_eval.errors import InputError
from sdd_eval.models.network import last_linear, logits_and_features

#: Number of rows of training features converted to float64 at a time.
ROWS = 16_384


@dataclass(frozen=True)
class NetworkOutputs:
    """Float32 logits (n, classes), and features (n, width), of images.

    Features are the input of the last linear layer, or None if the network does not end in one or
    they were not stored.
    """

    logits: Tensor
    features: Tensor | None = None

    def part(self, rows: slice) -> NetworkOutputs:
        """Return the outputs of some of the images."""
        features = None if self.features is None else self.features[rows]
        return NetworkOutputs(self.logits[rows], features)


class Batch:
    """Images in [0, 1] and the network's outputs, which are computed when first accessed.

    All detectors share one batch: `logits` and `features` together take one forward pass, or none
    if they are cached. Pixels are only read when accessed.
    """

    def __init__(
        self,
        model: nn.Module,
        pixels: Tensor | Callable[[], Tensor],
        cached: Callable[[], NetworkOutputs | None] = lambda: None,
    ) -> None:
        """Set the network, pixels or a function returning them, and one for cached outputs."""
        self.model = model
        self._given = pixels
        self._cached = cached

    @cached_property
    def pixels(self) -> Tensor:
        """Float32 (n, channels, side, side) in [0, 1]."""
        return self._given if isinstance(self._given, Tensor) else self._given()

    @cached_property
    def _known(self) -> NetworkOutputs | None:
        return self._cached()

    @property
    def logits(self) -> Tensor:
        """Logits (n, classes), computed in float32, as float64."""
        return (self._known or self.computed).logits.double()

    @property
    def features(self) -> Tensor:
        """Input of the last linear layer (n, width), computed in float32, as float64.

        Raises InputError if the network does not end in one.
        """
        known = None if self._known is None else self._known.features
        features = self.computed.features if known is None else known
        if features is None:
            raise not_linear(self.model)
        return features.double()

    def logits_of(self, pixels: Tensor) -> Tensor:
        """Return logits (n, classes) of other pixels, as float64."""
        with torch.no_grad(), full_float32():
            logits: Tensor = self.model(pixels)
        return logits.double()

    @cached_property
    def computed(self) -> NetworkOutputs:
        """The outputs of a forward pass, bypassing the cache."""
        logits, features = logits_and_features(self.model, self.pixels)
        return NetworkOutputs(logits.float(), None if features is None else features.float())

    @property
    def is_computed(self) -> bool:
        """Whether a forward pass has been run."""
        return "computed" in vars(self)


@dataclass(frozen=True)
class Training:
    """All training images, unaugmented, through a network in eval mode.

    `features` (N, width) and `logits` (N, classes) are float32; use `pieces` to compute with them
    in float64. `weight` (classes, width) and `bias` (classes,) of the last linear layer are
    float64. All are on the device.
    """

    name: str
    features: Tensor
    logits: Tensor
    labels: Tensor | None
    weight: Tensor
    bias: Tensor

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield consecutive rows and their features as float64."""
        for start in range(0, len(self.features), ROWS):
            rows = slice(start, start + ROWS)
            yield rows, self.features[rows].double()

    def scatter(self, centre_of: Callable[[slice], Tensor]) -> Tensor:
        """Return Σ (f − c)(f − c)ᵀ / N (width, width), with the centres c of consecutive rows."""
        width = self.features.shape[1]
        total = self.weight.new_zeros(width, width)
        for rows, features in self.pieces():
            centred = features - centre_of(rows)
            total.addmm_(centred.T, centred)
        return total / len(self.features)


def training_of(model: nn.Module, images: ImageSet, outputs: NetworkOutputs) -> Training:
    """Return the data that detectors are fitted on, from the outputs of all training images.

    Raise InputError if the network does not end in a linear layer, or a feature is not finite.
    """
    last, features = last_layer(model), outputs.features
    if features is None:
        raise not_linear(model)
    broken = int((~torch.isfinite(features)).any(dim=1).sum())
    if broken:
        raise InputError(f"features of {broken} of {len(images)} training images are not finite")
    labels = None if images.labels is None else torch.from_numpy(images.labels)
    weight = last.weight.detach().double()
    return Training(
        name=images.name,
        features=features,
        logits=outputs.logits,
        labels=None if labels is None else labels.to(features.device),
        weight=weight,
        bias=weight.new_zeros(len(weight)) if last.bias is None else last.bias.detach().double(),
    )


def last_layer(model: nn.Module) -> nn.Linear:
    """Return the network's last layer; raise InputError if it is not linear."""
    last = last_linear(model)
    if last is None:
        raise not_linear(model)
    return last


def not_linear(model: nn.Module) -> InputError:
    """Return the error for a network whose logits are not a linear function of a feature."""
    last = getattr(model, "classifier", None)
    what = f"classifier is a {type(last).__name__}" if last is not None else "last layer is another"
    return InputError(
        "features are needed: the network must end in a linear layer (torch.nn.Linear), but its "
        + what
    )
