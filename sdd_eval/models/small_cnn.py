"""A small convolutional network, for the 8×8 grey digits and other images on a CPU."""

from __future__ import annotations

from torch import nn

from sdd_eval.models.network import Stages


def small_cnn(channels: int, width: int = 96) -> Stages:
    """Three 3×3 convolutions with batch norm, halving the side after the first two.

    The feature is the mean over the last map, so any size from 4 pixels goes. `width` is its size;
    the layers before have a quarter and a half of it. Initialised as PyTorch does by default.
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
    """A 3×3 convolution, its batch norm and a ReLU."""
    return nn.Conv2d(ins, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), nn.ReLU()
