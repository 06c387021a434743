"""The built-in backbones, plugins of `sdd_eval.models`.

This module does not import torch, so that plugins can be listed quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sdd_eval import models

if TYPE_CHECKING:
    from sdd_eval.models.densenet import Newest
    from sdd_eval.models.network import Stages
    from sdd_eval.models.resnet import Padding


def small_cnn(classes: int, channels: int, image_size: int, width: int = 96) -> Stages:
    """Return three convolutions, for the digits: 52 thousand parameters."""
    return models.build_small_cnn(channels, (width // 4, width // 2, width))


def small_cnn_wide(classes: int, channels: int, image_size: int) -> Stages:
    """Return the small CNN with a feature as wide as a ResNet-18's: 512, 0.2 M parameters."""
    return models.build_small_cnn(channels, (24, 48, 512))


def _option_a(depth: int) -> Callable[..., Stages]:
    """Return a builder of CIFAR's ResNets, three stages of widths 16, 32 and 64."""

    def build(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
        return models.build_resnet(
            channels, ((depth - 2) // 6,) * 3, _doubling(16, 3), "A", padding
        )

    build.__doc__ = f"Return a ResNet-{depth} of widths 16, 32 and 64 with shortcuts of option A."
    return build


def _option_b(depth: int) -> Callable[..., Stages]:
    """Return a builder of the same networks with option-B shortcuts."""

    def build(classes: int, channels: int, image_size: int) -> Stages:
        return models.build_resnet(channels, ((depth - 2) // 6,) * 3, _doubling(16, 3), "B")

    build.__doc__ = f"Return a ResNet-{depth} of widths 16, 32 and 64 with shortcuts of option B."
    return build


def resnet18(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-18 for 32 pixels, with shortcuts of option B."""
    return models.build_resnet(channels, (2, 2, 2, 2), _doubling(width, 4), shortcut="B")


def resnet18_maxpool(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the ResNet-18 of BYOT for 224 pixels: a 3×3 stem of stride 1, then max-pooling.

    This follows the authors' code, whose other methods use a 7×7 stem of stride 2.
    """
    return models.build_resnet(
        channels, (2, 2, 2, 2), _doubling(width, 4), shortcut="B", max_pool=True
    )


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


def densenet_bc_100_12(classes: int, channels: int, image_size: int) -> Stages:
    """Return a DenseNet-BC of 100 layers and growth rate 12: 0.8 M parameters."""
    return models.build_densenet(channels, (16, 16, 16), growth=12)


def densenet121(classes: int, channels: int, image_size: int, newest: Newest = "last") -> Stages:
    """Return the paper's DenseNet-121 for 32 pixels, growth rate 32, 3×3 stem: 7 M parameters."""
    return models.build_densenet(channels, (6, 12, 24, 16), growth=32, newest=newest)


def wrn_28_10(classes: int, channels: int, image_size: int) -> Stages:
    """Return a Wide ResNet of 28 layers, ten times as wide: 36.5 M parameters."""
    return models.build_wide_resnet(channels, depth=28, widen=10)


def _doubling(width: int, stages: int) -> tuple[int, ...]:
    """Return the widths of stages that double from `width`: 64, 128, 256 …."""
    return tuple(width * 2**index for index in range(stages))


resnet8, resnet20, resnet32 = _option_a(8), _option_a(20), _option_a(32)
resnet44, resnet56, resnet110 = _option_a(44), _option_a(56), _option_a(110)
resnet20_b, resnet32_b = _option_b(20), _option_b(32)
resnet44_b, resnet56_b, resnet110_b = _option_b(44), _option_b(56), _option_b(110)
