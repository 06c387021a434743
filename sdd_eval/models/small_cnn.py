"""A small convolutional network for the 8×8 grey digits and other images on a CPU."""

from __future__ import annotations

from torch import nn

from sdd_eval.models.network import Stages


def build_small_cnn(channels: int, widths: tuple[int, int, int]) -> Stages:
    """Return three 3×3 convolutions of these widths with batch norm.

    The first two halve the side, and the feature is the mean of the last map, so images of 4 pixels
    or more work.
    """
    first, second, feature = widths
    stages = {
        "layer1": nn.Sequential(*_convolution(channels, first), nn.MaxPool2d(2)),
        "layer2": nn.Sequential(*_convolution(first, second), nn.MaxPool2d(2)),
        "layer3": nn.Sequential(*_convolution(second, feature)),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }
    return Stages(stages, feature)


def _convolution(ins: int, outs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(ins, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU()
