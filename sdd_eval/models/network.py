"""The network: standardisation, a backbone in named stages, a classifier on its feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import ModelSpec

#: The pooled feature that the classifier takes; SD-Dropout's position "layer4" is this.
FEATURES = "features"


class Standardisation(nn.Module):
    """(pixels − mean) / std for each channel; part of the network, so attacks speak pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Constants of each channel, in pixel units [0, 1]; the card has them, not the weights."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, channels, side, side) in [0, 1] → the same shape, standardised."""
        if pixels.shape[1] != self.mean.shape[1]:  # one grey channel would broadcast to three
            raise InputError(
                f"the network takes {self.mean.shape[1]} channels, not {pixels.shape[1]}"
            )
        return (pixels - self.mean) / self.std


class Stages(nn.Sequential):
    """A backbone as named stages, run one after the other; the last gives (n, width) features."""

    def __init__(self, stages: Mapping[str, nn.Module], width: int) -> None:
        """Stages in order, by name."""
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.width = width


class Network(nn.Module):
    """Pixels in [0, 1] → logits: `classifier(features(pixels))`."""

    def __init__(
        self,
        spec: ModelSpec,
        backbone: nn.Module,
        classifier: nn.Module,
        head: str = "classifier",
    ) -> None:
        """Put standardisation with the spec's constants before the backbone.

        `head` is what the classifier was called in the network that backbone and it are parts of.
        """
        super().__init__()
        self.spec = spec
        self.head = head
        self.standardise = Standardisation(spec.mean, spec.std)
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, channels, side, side) in [0, 1] → logits (n, classes)."""
        logits: Tensor = self.classifier(self.features(pixels))
        return logits

    def features(self, pixels: Tensor) -> Tensor:
        """(n, channels, side, side) in [0, 1] → the pooled feature (n, width)."""
        features: Tensor = self.backbone(self.standardise(pixels))
        return features

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """What each stage of the backbone gives, in order, the last under "features" too."""
        seen = {}
        x = self.standardise(pixels)
        for name, stage in self.stages().items():
            seen[name] = x = stage(x)
        return {**seen, FEATURES: x}

    def classify(self, activation: Tensor, stage: str = FEATURES) -> Tensor:
        """Logits (n, classes) from what a stage gave: the stages after it, then the classifier."""
        names = [*self.stages(), FEATURES]
        for name in names[names.index(stage) + 1 : -1]:
            activation = self.stages()[name](activation)
        logits: Tensor = self.classifier(activation)
        return logits

    def compile_activations(self) -> None:
        """Have torch compile `activations`; the names of stages and weights stay as they are.

        Each batch size gets kernels of its own, whichever came first: a resumed run meets the same.
        """
        object.__setattr__(self, "activations", torch.compile(self.activations, dynamic=False))

    def stages(self) -> dict[str, nn.Module]:
        """The backbone's stages by name, in order; all of it as one where it has none."""
        if isinstance(self.backbone, Stages):
            return dict(self.backbone.named_children())
        return {"backbone": self.backbone}

    def stage_of(self, position: str) -> str:
        """The stage after which SD-Dropout's masks fall: "layer4" is the pooled feature.

        Raises:
            InputError: the network has no such position.
        """
        if position == "layer4":
            return FEATURES
        layers = [name for name in self.stages() if name.startswith("layer")]
        if not layers:
            raise InputError(
                f"arch {self.spec.arch!r} is not a sequence of parts called layer1 …: its only "
                f"position is layer4, the feature, not {position!r}"
            )
        if position not in layers:
            raise unknown_name("position", position, {*layers, "layer4"})
        return position
