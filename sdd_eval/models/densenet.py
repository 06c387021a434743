"""DenseNet-BC for small images (Huang, Liu, van der Maaten, Weinberger, CVPR 2017).

Each layer's new channels come after those that it was given. Initialised as PyTorch does.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdd_eval.models.network import Stages


class DenseLayer(nn.Module):
    """A 1×1 bottleneck of 4 × growth channels and a 3×3 convolution, each after BN and ReLU."""

    def __init__(self, ins: int, growth: int) -> None:
        """Channels in, and channels added."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ins)
        self.conv1 = nn.Conv2d(ins, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, ins, h, w) → (n, ins + growth, h, w)."""
        y = self.conv1(functional.relu(self.bn1(x), inplace=True))
        y = self.conv2(functional.relu(self.bn2(y), inplace=True))
        return torch.cat([x, y], dim=1)


def densenet_bc(channels: int, depth: int, growth: int, compression: float = 0.5) -> Stages:
    """A backbone of three dense blocks, (depth − 4) / 6 layers each, with transitions between."""
    count = (depth - 4) // 6
    width = 2 * growth
    stages: dict[str, nn.Module] = {"conv1": nn.Conv2d(channels, width, 3, padding=1, bias=False)}
    for index in (1, 2, 3):
        layers = [DenseLayer(width + growth * layer, growth) for layer in range(count)]
        stages[f"layer{index}"] = nn.Sequential(*layers)
        width += growth * count
        if index < 3:
            narrow = int(width * compression)
            stages[f"trans{index}"] = _transition(width, narrow)
            width = narrow
    stages["bn1"] = nn.BatchNorm2d(width)
    stages["relu"] = nn.ReLU()
    stages["pool"] = nn.AdaptiveAvgPool2d(1)
    stages["flatten"] = nn.Flatten()
    return Stages(stages, width)


def _transition(ins: int, outs: int) -> nn.Module:
    """Fewer channels by a 1×1 convolution, half the side by averaging."""
    return nn.Sequential(
        OrderedDict(
            bn1=nn.BatchNorm2d(ins),
            relu=nn.ReLU(inplace=True),
            conv1=nn.Conv2d(ins, outs, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )
