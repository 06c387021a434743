"""A backbone from elsewhere → its stages, where its parts are run one after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdd_eval.models.network import Stages


def staged(backbone: nn.Module, width: int, images: Tensor) -> nn.Module:
    """The backbone as `Stages`, if it is no more than its children in order; else as it is.

    ResNets of torchvision and timm are: their `layer1` … `layer4` can then be reached by name, and
    the weights keep theirs. Whether the children alone make the same features is tried out on the
    images, in both modes.

    Args:
        backbone: standardised images (n, channels, side, side) → features (n, width).
        width: of the features.
        images: a few that are tried.
    """
    children = dict(backbone.named_children())
    if "layer1" not in children:
        return backbone
    stages = Stages({**children, "flatten": nn.Flatten()}, width)
    stages.training = backbone.training
    if stages.state_dict().keys() != backbone.state_dict().keys():
        return backbone
    return stages if _alike(backbone, stages, images) else backbone


def _alike(one: nn.Module, other: nn.Module, images: Tensor) -> bool:
    """Whether two modules of the same parts give the same, evaluated and in training."""
    training = one.training
    kept = {name: buffer.clone() for name, buffer in one.named_buffers()}
    try:
        return all(
            torch.allclose(_output(one, images, mode), _output(other, images, mode), atol=1e-5)
            for mode in (False, True)
        )
    except Exception:  # a child that takes something else than the one before it gives
        return False
    finally:
        for name, buffer in one.named_buffers():
            buffer.copy_(kept[name])  # batch norms have looked at the images
        one.train(training)
        other.train(training)


def _output(module: nn.Module, images: Tensor, training: bool) -> Tensor:
    """What a module gives in a mode, its random numbers the same each time."""
    module.train(training)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        found: Tensor = module(images)
    return found
