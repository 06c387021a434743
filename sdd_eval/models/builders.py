"""The built-in backbones, plugins of `sdd_eval.models`.

A builder takes (classes, channels, image_size, **options) and returns a module from standardised
images (n, channels, side, side) to features (n, width), with an attribute `width`. If it is a
`sdd_eval.models.network.Stages`, its stages `layer1` … can be reached by name.

The 16-32-64 ResNets of He et al. exist in three kinds: `resnet20` with shortcuts of option A, and
of these `padding` tells where the zeros go (see `resnet.py`), and `resnet20_b` with option B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sdd_eval.models.densenet import Place
    from sdd_eval.models.network import Stages
    from sdd_eval.models.resnet import Padding


def small_cnn(classes: int, channels: int, image_size: int, width: int = 96) -> Stages:
    """Return three convolutions, for the digits: 52 thousand parameters."""
    from sdd_eval.models.small_cnn import small_cnn

    return small_cnn(channels, width)


def resnet8(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-8 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 1, "A", padding)


def resnet20(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-20 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 3, "A", padding)


def resnet32(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-32 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 5, "A", padding)


def resnet44(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-44 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 7, "A", padding)


def resnet56(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-56 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 9, "A", padding)


def resnet110(classes: int, channels: int, image_size: int, padding: Padding = "end") -> Stages:
    """Return a ResNet-110 of the 16-32-64 family, shortcuts without parameters (option A)."""
    return _cifar_resnet(channels, 18, "A", padding)


def resnet20_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-20 of the 16-32-64 family, 1×1 convolutions as shortcuts (option B)."""
    return _cifar_resnet(channels, 3, "B")


def resnet32_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-32 of the 16-32-64 family, 1×1 convolutions as shortcuts (option B)."""
    return _cifar_resnet(channels, 5, "B")


def resnet44_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-44 of the 16-32-64 family, 1×1 convolutions as shortcuts (option B)."""
    return _cifar_resnet(channels, 7, "B")


def resnet56_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-56 of the 16-32-64 family, 1×1 convolutions as shortcuts (option B)."""
    return _cifar_resnet(channels, 9, "B")


def resnet110_b(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-110 of the 16-32-64 family, 1×1 convolutions as shortcuts (option B)."""
    return _cifar_resnet(channels, 18, "B")


def wrn_28_10(classes: int, channels: int, image_size: int) -> Stages:
    """Return a Wide ResNet of 28 layers, ten times as wide: 36.5 M parameters."""
    from sdd_eval.models.wide_resnet import wide_resnet

    return wide_resnet(channels, depth=28, widen=10)


def densenet_bc_100_12(classes: int, channels: int, image_size: int) -> Stages:
    """Return a DenseNet-BC of 100 layers and growth 12: 0.8 M parameters."""
    from sdd_eval.models.densenet import densenet_bc

    return densenet_bc(channels, (16, 16, 16), growth=12)


def densenet121(classes: int, channels: int, image_size: int, newest: Place = "last") -> Stages:
    """Return the paper's DenseNet-121 for 32 pixels, growth 32, 3×3 stem: 7 M parameters."""
    from sdd_eval.models.densenet import densenet_bc

    return densenet_bc(channels, (6, 12, 24, 16), growth=32, newest=newest)


def resnet18(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-18 for 32 pixels, 1×1 convolutions as shortcuts (option B)."""
    from sdd_eval.models.resnet import doubling, resnet

    return resnet(channels, (2, 2, 2, 2), doubling(width, 4), shortcut="B")


def resnet34(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-34 for 32 pixels, 1×1 convolutions as shortcuts (option B)."""
    from sdd_eval.models.resnet import doubling, resnet

    return resnet(channels, (3, 4, 6, 3), doubling(width, 4), shortcut="B")


def resnet50(classes: int, channels: int, image_size: int, width: int = 64) -> Stages:
    """Return the paper's ResNet-50 for 32 pixels, of bottleneck blocks: 23.7 M parameters."""
    from sdd_eval.models.resnet import Bottleneck, doubling, resnet

    return resnet(channels, (3, 4, 6, 3), doubling(width, 4), shortcut="B", block=Bottleneck)


def resnet18w16(classes: int, channels: int, image_size: int) -> Stages:
    """Return a ResNet-18 with a quarter of the channels (16-32-64-128), for CPUs: 0.7 M weights."""
    return resnet18(classes, channels, image_size, width=16)


def resnet10_s2(classes: int, channels: int, image_size: int) -> Stages:
    """Return a small ResNet with a wide feature, for CPUs: 3.4 M parameters, 512 features.

    One basic block a stage, as in a ResNet-10, but channels 32-64-128-512 for 64-128-256-512 and a
    3×3 stem of stride 2 without max-pooling. It overfits a few images a class, which the smaller
    built-in networks do not, and its feature is as wide as that of the paper's ResNet-18.
    """
    from sdd_eval.models.resnet import resnet

    return resnet(channels, (1, 1, 1, 1), (32, 64, 128, 512), shortcut="B", stem_stride=2)


def _cifar_resnet(
    channels: int, blocks: int, shortcut: Literal["A", "B"], padding: Padding = "end"
) -> Stages:
    """Return three stages of `blocks` blocks, 16, 32 and 64 channels wide."""
    from sdd_eval.models.resnet import doubling, resnet

    return resnet(channels, (blocks,) * 3, doubling(16, 3), shortcut, padding)
