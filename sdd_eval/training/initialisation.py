"""Initial weights as in the code of the SD-Dropout paper."""

from __future__ import annotations

from torch import nn

from sdd_eval.models.resnet import Block, Bottleneck
from sdd_eval.training.methods.branch import Branch


def initialise_as_authors(*modules: nn.Module) -> None:
    """Initialise convolutions as the paper's authors do, from torch's global random state.

    Every convolution of a built-in ResNet and of a BYOT branch is drawn from a Kaiming normal
    distribution (fan-out, gain of ReLU). Batch norms start at weight 1 and bias 0 and linear layers
    keep PyTorch's default, as they do without this function. Other networks are left as they are:
    the authors use PyTorch's default for DenseNet, and torchvision and timm initialise their own.

    Source: the authors' public code, `self_kd`, branch SD_Dropout.
    """
    for module in modules:
        if any(isinstance(part, Block | Bottleneck | Branch) for part in module.modules()):
            _initialise_convolutions(module)


def _initialise_convolutions(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
