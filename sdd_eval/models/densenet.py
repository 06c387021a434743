"""DenseNet-BC for small images (Huang, Liu, van der Maaten, Weinberger, CVPR 2017).

A 3×3 stem of stride 1 and no max-pooling, with PyTorch's default initialisation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdd_eval.errors import unknown_name
from sdd_eval.models.network import Stages, pre_activation_end

#: Position of a layer's new channels: after its input channels, as in the authors' code, or before
#: them, as in a common public implementation. The weights have the same shapes.
Newest = Literal["last", "first"]


class DenseLayer(nn.Module):
    """A 1×1 bottleneck of 4 × growth channels and a 3×3 convolution, each after BN and ReLU."""

    def __init__(self, ins: int, growth: int, newest: Newest = "last") -> None:
        super().__init__()
        self.newest = newest
        self.bn1 = nn.BatchNorm2d(ins)
        self.conv1 = nn.Conv2d(ins, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ins, h, w) to (n, ins + growth, h, w)."""
        y = self.conv1(functional.relu(self.bn1(x), inplace=True))
        y = self.conv2(functional.relu(self.bn2(y), inplace=True))
        return torch.cat([x, y] if self.newest == "last" else [y, x], dim=1)


def build_densenet(
    channels: int,
    blocks: Sequence[int],
    growth: int,
    compression: float = 0.5,
    newest: Newest = "last",
) -> Stages:
    """Return a backbone of dense blocks and transitions; raise InputError for unknown `newest`."""
    if newest not in get_args(Newest):
        raise unknown_name("newest", str(newest), get_args(Newest))
    width = 2 * growth
    stages: dict[str, nn.Module] = {"conv1": nn.Conv2d(channels, width, 3, padding=1, bias=False)}
    for index, count in enumerate(blocks, start=1):
        layers = [DenseLayer(width + growth * layer, growth, newest) for layer in range(count)]
        stages[f"layer{index}"] = nn.Sequential(*layers)
        width += growth * count
        if index < len(blocks):
            narrow = int(width * compression)
            stages[f"trans{index}"] = _transition(width, narrow)
            width = narrow
    return Stages(stages | pre_activation_end(width), width)


def _transition(ins: int, outs: int) -> nn.Module:
    convolution = nn.Conv2d(ins, outs, 1, bias=False)
    layers = {"bn1": nn.BatchNorm2d(ins), "relu": nn.ReLU(inplace=True), "conv1": convolution}
    return nn.Sequential(OrderedDict(**layers, pool=nn.AvgPool2d(2)))
