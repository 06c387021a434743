"""Wide ResNets for small images (Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016).

Pre-activation blocks: batch norm and ReLU come before each convolution, and where the number of
channels changes the 1×1 shortcut takes the activated input too. Initialised as PyTorch does.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from sdd_eval.models.network import Stages, pre_activation_end

#: Channels of the stem.
STEM = 16


class WideBlock(nn.Module):
    """Batch norm, ReLU and 3×3 convolution, twice, added to the shortcut."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ins)
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if ins != outs:
            self.shortcut = nn.Conv2d(ins, outs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ins, h, w) to (n, outs, h / stride, w / stride)."""
        y = functional.relu(self.bn1(x), inplace=True)
        skipped = x if self.shortcut is None else self.shortcut(y)
        y = functional.relu(self.bn2(self.conv1(y)), inplace=True)
        z: Tensor = self.conv2(y) + skipped
        return z


def build_wide_resnet(channels: int, depth: int, widen: int) -> Stages:
    """Return a backbone of three stages of (depth − 4) / 6 blocks, widths 16, 32, 64 × `widen`."""
    count = (depth - 4) // 6
    stages: dict[str, nn.Module] = {"conv1": nn.Conv2d(channels, STEM, 3, padding=1, bias=False)}
    ins = STEM
    for index in range(3):
        outs = STEM * 2**index * widen
        first = WideBlock(ins, outs, 2 if index else 1)
        rest = [WideBlock(outs, outs, 1) for _ in range(count - 1)]
        stages[f"layer{index + 1}"] = nn.Sequential(first, *rest)
        ins = outs
    return Stages(stages | pre_activation_end(ins), ins)
