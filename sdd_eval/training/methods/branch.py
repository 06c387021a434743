"""The branches of "Be your own teacher": from an early map to a feature and logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError
from sdd_eval.models.network import FEATURES, Network, restored

#: Layers after which a branch is attached.
LAYERS = ("layer1", "layer2", "layer3")


class Branch(nn.Module):
    """A bottleneck to about the side and width of the last map, pooling, and a classifier."""

    def __init__(self, ins: int, width: int, stride: int, classes: int) -> None:
        """Create a bottleneck a quarter as wide as the feature (`width`), as in the BYOT code."""
        super().__init__()
        narrow = max(1, width // 4)
        self.bottleneck = nn.Sequential(
            *_convolution(ins, narrow, 1),
            *_convolution(narrow, narrow, stride),
            *_convolution(narrow, width, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled feature (n, width) and logits (n, classes) of maps (n, ins, h, w)."""
        feature = self.pool(self.bottleneck(maps)).flatten(1)
        return feature, self.classifier(feature)


def branches(network: Network) -> dict[str, Branch]:
    """Return a branch for each layer of `LAYERS`, matched to the network's maps.

    k is the ratio of the map's side to the last map's: 8, 4 and 2 in a ResNet-18. Raise InputError
    if the network has no such layer, or its output there is not a map.
    """
    spec = network.spec
    missing = [layer for layer in LAYERS if layer not in network.stages()]
    if missing:
        raise InputError(
            f"method byot puts branches after {', '.join(LAYERS)}; arch {spec.arch!r} "
            f"has no {missing[0]}: its stages are {', '.join(network.stages())}"
        )
    image = torch.zeros(1, spec.channels, spec.image_size, spec.image_size)
    with restored(network), torch.no_grad():
        outputs = network.eval().activations(image)
    shapes = {name: output.shape for name, output in outputs.items()}
    for layer in LAYERS:
        if len(shapes[layer]) != 4:
            raise InputError(
                f"method byot puts a branch on the maps after {layer}, but arch {spec.arch!r} "
                f"gives {tuple(shapes[layer][1:])} there for each image"
            )
    maps = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    last = [shape[-1] for name, shape in maps.items() if name.startswith("layer")][-1]
    width = shapes[FEATURES][1]
    return {
        layer: Branch(shapes[layer][1], width, max(1, shapes[layer][-1] // last), spec.classes)
        for layer in LAYERS
    }


def _convolution(ins: int, outs: int, side: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(ins, outs, side, stride=side, bias=False)
    return convolution, nn.BatchNorm2d(outs), nn.ReLU()
