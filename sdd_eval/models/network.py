"""Networks: standardisation, a backbone of named stages, and a classifier on its feature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import ModelSpec

#: The pooled feature, which is the classifier's input and SD-Dropout's position "layer4".
FEATURES = "features"


class Standardisation(nn.Module):
    """(pixels − mean) / std per channel: the network's first layer, so attacks use pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardise pixels (n, channels, side, side) in [0, 1]."""
        if pixels.shape[1] != self.mean.shape[1]:  # one grey channel would broadcast to three
            raise InputError(
                f"the network takes {self.mean.shape[1]} channels, not {pixels.shape[1]}"
            )
        return (pixels - self.mean) / self.std


class Stages(nn.Sequential):
    """A backbone of named stages that run in sequence; the last returns features (n, width)."""

    def __init__(self, stages: Mapping[str, nn.Module], width: int) -> None:
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.width = width


class Network(nn.Module):
    """A classifier of pixels in [0, 1]: `classifier(features(pixels))`."""

    def __init__(
        self, spec: ModelSpec, backbone: nn.Module, classifier: nn.Module, head: str = "classifier"
    ) -> None:
        """Build the network; `head` is the classifier's name in the network before a split."""
        super().__init__()
        self.spec = spec
        self.head = head
        self.standardise = Standardisation(spec.mean, spec.std)
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, classes) of pixels (n, channels, side, side) in [0, 1]."""
        logits: Tensor = self.classifier(self.features(pixels))
        return logits

    def features(self, pixels: Tensor) -> Tensor:
        """Return the pooled features (n, width) of pixels (n, channels, side, side) in [0, 1]."""
        features: Tensor = self.backbone(self.standardise(pixels))
        return features

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the output of each backbone stage in order, the last one also as "features"."""
        outputs = {}
        x = self.standardise(pixels)
        for name, stage in self.stages().items():
            outputs[name] = x = stage(x)
        return {**outputs, FEATURES: x}

    def classify(self, activation: Tensor, stage: str = FEATURES) -> Tensor:
        """Return the logits (n, classes) that later layers compute from a stage's output."""
        names = [*self.stages(), FEATURES]
        for name in names[names.index(stage) + 1 : -1]:
            activation = self.stages()[name](activation)
        logits: Tensor = self.classifier(activation)
        return logits

    def compile_activations(self) -> None:
        """Compile `activations` with torch.compile; names of stages and weights do not change.

        Each batch size gets its own kernels, whichever came first, so that a resumed run uses the
        same ones.
        """
        object.__setattr__(self, "activations", torch.compile(self.activations, dynamic=False))

    def stages(self) -> dict[str, nn.Module]:
        """Return the backbone's stages by name; a backbone without stages is one stage."""
        if isinstance(self.backbone, Stages):
            return dict(self.backbone.named_children())
        return {"backbone": self.backbone}

    def stage_of(self, position: str) -> str:
        """Return the stage before SD-Dropout's masks; raise InputError for an unknown position."""
        if position == "layer4":
            return FEATURES
        layers = [name for name in self.stages() if name.startswith("layer")]
        if not layers:
            raise InputError(
                f"arch {self.spec.arch!r} has no stages layer1, layer2, …; --position must be "
                f"layer4, not {position}"
            )
        if position not in layers:
            raise unknown_name("position", position, {*layers, "layer4"})
        return position


@contextlib.contextmanager
def restored(*modules: nn.Module) -> Iterator[None]:
    """On exit, restore the modes of modules and their buffers, such as batch statistics."""
    training = [module.training for module in modules]
    buffers = [(b, b.clone()) for module in modules for b in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, mode in zip(modules, training, strict=True):
            module.train(mode)


def pre_activation_end(width: int) -> dict[str, nn.Module]:
    """Return the last stages of a network whose blocks begin with batch norm and ReLU."""
    return {
        "bn1": nn.BatchNorm2d(width),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }


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


def logits_difference(logits: Tensor, others: Tensor) -> float:
    """Return the largest difference of logits (n, classes) from others, relative to their spread.

    A common offset of all logits of an image, and its rounding in float32, are ignored.
    """
    if logits.shape != others.shape:
        return float("inf")
    rounding = 4 * torch.finfo(torch.float32).eps * float(others.abs().max())
    one, other = (
        z - z.mean(dim=1, keepdim=True) if z.shape[1] > 1 else z
        for z in (logits.double(), others.double())
    )
    difference = float((one - other).abs().max()) - rounding
    return difference / max(float(other.abs().max()), torch.finfo(torch.float32).tiny)


def last_linear(model: nn.Module) -> nn.Linear | None:
    """Return the last linear layer of `classifier` if the model has such a module, else of all."""
    module = getattr(model, "classifier", model)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers else None
