"""The built-in backbones, plugins of `sdd_eval.models`.

This module does not import torch, so that plugins can be listed quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sdd_eval import models

if TYPE_CHECKING:
    from sdd_eval.models.densenet import Newest
    from sdd_eval.models.network import Stages
    from sdd_eval.models.resnet import Padding


def small_cnn(classes: int, channels: int, image_size: int, width: int = 96) -> Stages:
    """Return three convolutions, for the digits: 52 thousand parameters."""
    return models.build_small_cnn(channels, width)


def resnet8(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-8 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 1, "A", padding)


def resnet20(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-20 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 3, "A", padding)


def resnet32(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-32 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 5, "A", padding)


def resnet44(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-44 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 7, "A", padding)


def resnet56(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-56 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 9, "A", padding)


def resnet110(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-110 of widths 16, 32 and 64 with shortcuts of option A."""
    return _cifar_resnet(channels, 18, "A", padding)


def resnet20_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-20 of widths 16, 32 and 64 with shortcuts of option B."""
    return _cifar_resnet(channels, 3, "B")


def resnet32_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-32 of widths 16, 32 and 64 with shortcuts of option B."""
    return _cifar_resnet(channels, 5, "B")


def resnet44_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-44 of widths 16, 32 and 64 with shortcuts of option B."""
    return _cifar_resnet(channels, 7, "B")


def resnet56_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-56 of widths 16, 32 and 64 with shortcuts of option B."""
    return _cifar_resnet(channels, 9, "B")


def resnet110_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-110 of widths 16, 32 and 64 with shortcuts of option B."""
    return _cifar_resnet(channels, 18, "B")


def resnet18(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-18 for 32 pixels, with shortcuts of option B."""
    return models.build_resnet(channels, (2, 2, 2, 2), _doubling(width, 4), shortcut="B")


def resnet34(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-34 for 32 pixels, with shortcuts of option B."""
    return models.build_resnet(channels, (3, 4, 6, 3), _doubling(width, 4), shortcut="B")


def resnet50(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-50 for 32 pixels, of bottleneck blocks: 23.7 M parameters."""
    return models.build_resnet(
        channels, (3, 4, 6, 3), _doubling(width, 4), shortcut="B", block=models.Bottleneck
    )


def resnet18w16(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-18 with a quarter of the channels (16-32-64-128), for CPUs: 0.7 M weights."""
    return resnet18(classes, channels, image_size, width=16)


def resnet10_s2(classes: int, channels: int, image_size: int) -> Stages:
    """Return a small ResNet with a wide feature, for CPUs: 3.4 M parameters, 512 features.

    One basic block per stage, as in a ResNet-10, but 32, 64, 128 and 512 channels and a 3×3 stem of
    stride 2. It overfits a few images per class, unlike the smaller built-in networks, and its
    feature is as wide as that of the paper's ResNet-18.
    """
    return models.build_resnet(
        channels, (1, 1, 1, 1), (32, 64, 128, 512), shortcut="B", stem_stride=2
    )


def _cifar_resnet(
    channels: int, blocks: int, shortcut: Literal["A", "B"], padding: Padding = "end"
) -> Stages:
    """Return three stages of `blocks` blocks, 16, 32 and 64 channels wide."""
    return models.build_resnet(channels, (blocks,) * 3, _doubling(16, 3), shortcut, padding)


def densenet_bc_100_12(classes: int, channels: int, image_size: int) -> Stages:
    """Return a DenseNet-BC of 100 layers and growth 12: 0.8 M parameters."""
    return models.build_densenet(channels, (16, 16, 16), growth=12)


def densenet121(classes: int, channels: int, image_size: int, newest: Newest = "last") -> Stages:
    """Return the paper's DenseNet-121 for 32 pixels, growth 32, 3×3 stem: 7 M parameters."""
    return models.build_densenet(channels, (6, 12, 24, 16), growth=32, newest=newest)


def wrn_28_10(classes: int, channels: int, image_size: int) -> Stages:
    """Return a Wide ResNet of 28 layers, ten times as wide: 36.5 M parameters."""
    return models.build_wide_resnet(channels, depth=28, widen=10)


def _doubling(width: int, stages: int) -> tuple[int, ...]:
    """Return the widths of stages that double from `width`.

    >>> _doubling(64, 4)
    (64, 128, 256, 512)
    """
    return tuple(width * 2**index for index in range(stages))
