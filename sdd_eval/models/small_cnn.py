"""A small convolutional network for the 8×8 grey digits and other images on a CPU."""

from __future__ import annotations

from torch import nn

from sdd_eval.models.network import Stages


def build_small_cnn(channels: int, width: int) -> Stages:
    """Return three 3×3 convolutions with batch norm: 52 thousand parameters on the digits.

    The first two halve the side, and the feature is the mean of the last map, so images of 4 pixels
    or more work. `width` is the feature's; the layers before have a quarter and half of it.
    """
    stages = {
        "layer1": nn.Sequential(*_convolution(channels, width // 4), nn.MaxPool2d(2)),
        "layer2": nn.Sequential(*_convolution(width // 4, width // 2), nn.MaxPool2d(2)),
        "layer3": nn.Sequential(*_convolution(width // 2, width)),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }
    return Stages(stages, width)


def _convolution(ins: int, outs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(ins, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU()
