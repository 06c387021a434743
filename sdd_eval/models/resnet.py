"""ResNets for small images (He et al., "Deep Residual Learning", CVPR 2016), and Wide ResNets.

Their stem is a 3×3 convolution without max-pooling. Where the shape changes, shortcuts of option A
have no parameters, and those of option B are 1×1 convolutions. Wide ResNets (Zagoruyko and
Komodakis, BMVC 2016) have pre-activation blocks. All layers have PyTorch's default initialisation;
a recipe with `init = "authors"` replaces it (`sdd_eval.training.objective`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from sdd_eval.errors import unknown_name
from sdd_eval.models.network import Stages, pre_activation_end

#: Position of the zero channels of a shortcut of option A: after its input channels, as in the
#: authors' successor code, or half before and half after, as in the most common public PyTorch
#: checkpoints. The weights have the same names and shapes, so a file does not show which applies.
Padding = Literal["end", "both"]


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, added to a shortcut before the last ReLU."""

    #: Ratio of output channels to inner channels.
    widening = 1

    def __init__(self, ins: int, outs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ins, h, w) to (n, outs, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return functional.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with batch norm, added to a shortcut before the last ReLU."""

    #: Ratio of output channels to inner channels.
    widening = 4

    def __init__(self, ins: int, outs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        inner = outs // self.widening
        self.conv1 = nn.Conv2d(ins, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ins, h, w) to (n, outs, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y)) + self.shortcut(x)
        return functional.relu(y, inplace=True)


class ZeroPad(nn.Module):
    """Parameter-free shortcut (option A): every second pixel, zeros for the new channels."""

    def __init__(self, outs: int, padding: Padding = "end") -> None:
        super().__init__()
        self.outs = outs
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ins, h, w) to (n, outs, h / 2, w / 2)."""
        missing = self.outs - x.shape[1]
        before = missing // 2 if self.padding == "both" else 0
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, missing - before))


def build_resnet(
    channels: int,
    blocks: Sequence[int],
    widths: Sequence[int],
    shortcut: Literal["A", "B"],
    padding: Padding = "end",
    block: type[Block | Bottleneck] = Block,
    stem_stride: int = 1,
    max_pool: bool = False,
) -> Stages:
    """Return a backbone of stages `layer1` …, each but the first of stride 2.

    `blocks` and `widths` are the number of blocks of each stage and their inner channels; the stem
    has as many channels as the first stage, and stride `stem_stride`; with `max_pool`, a 3×3
    max-pooling of stride 2 follows. Raise InputError for an unknown `padding`, the position of the
    zero channels of option A.
    """
    if padding not in get_args(Padding):
        raise unknown_name("padding", str(padding), get_args(Padding))

    def change(ins: int, outs: int, stride: int) -> nn.Module:
        if ins == outs:
            return nn.Identity()
        if shortcut == "A":
            return ZeroPad(outs, padding)
        convolution = nn.Conv2d(ins, outs, 1, stride, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outs))

    def stage(ins: int, outs: int, stride: int, count: int) -> nn.Module:
        first = block(ins, outs, stride, change(ins, outs, stride))
        rest = (block(outs, outs, 1, nn.Identity()) for _ in range(count - 1))
        return nn.Sequential(first, *rest)

    stages: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, widths[0], 3, stem_stride, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(widths[0]),
        "relu": nn.ReLU(),
    }
    if max_pool:
        stages["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
    ins = outs = widths[0]
    for index, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        outs = width * block.widening
        stages[f"layer{index + 1}"] = stage(ins, outs, 2 if index else 1, count)
        ins = outs
    stages["pool"] = nn.AdaptiveAvgPool2d(1)
    stages["flatten"] = nn.Flatten()
    return Stages(stages, outs)


#: Channels of the stem of a Wide ResNet.
STEM = 16


class WideBlock(nn.Module):
    """Batch norm, ReLU and 3×3 convolution, twice, added to the shortcut.

    Where the number of channels changes, the 1×1 shortcut also takes the activated input.
    """

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
    """Return a pre-activation backbone: three stages of (depth − 4) / 6 blocks.

    Their widths are 16, 32 and 64 × `widen`.
    """
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
