"""A backbone from elsewhere → its stages, where its parts are run one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError
from sdd_eval.models.network import Stages


def as_stages(backbone: nn.Module, width: int, images: Tensor) -> nn.Module:
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


@dataclass(frozen=True)
class SplitNetwork:
    """`classifier(backbone(images))` are the logits; `head` is the name that the layer had."""

    backbone: nn.Module
    classifier: nn.Linear
    head: str


def split_classifier(module: nn.Module, classes: int, images: Tensor, called: str) -> SplitNetwork:
    """Take the last linear layer out of a network; what is left gives the features.

    The layer is found by looking: of all `nn.Linear` that one forward pass calls, the last. That
    the two halves give the same logits is tried out on the same images.

    Args:
        module: images (n, channels, side, side) → logits (n, classes); it is taken apart.
        classes: how many logits there must be.
        images: a few that are tried, standardised.
        called: the network's name in errors.

    Raises:
        InputError: the network does not take the images, gives something else than logits, or its
            logits do not come straight out of a linear layer.
    """
    training = module.training
    module.register_forward_hook(_main_output)
    module.eval()
    logits, layers = _watched(module, images, called)
    if logits.shape != (len(images), classes):
        raise InputError(
            f"arch {called!r} gives {tuple(logits.shape)} for {len(images)} images, "
            f"not logits ({len(images)}, {classes})"
        )
    fitting = [name for name, layer in layers if layer.out_features == classes]
    looked = f"arch {called!r}: looked for a last nn.Linear (… → {classes}) that gives the logits"
    if not layers or not fitting or fitting[-1] != layers[-1][0]:
        last = f"the last of {len(layers)} is {_told(*layers[-1])}" if layers else "there is none"
        raise InputError(f"{looked}; {last}")
    head, classifier = layers[-1]
    _replace(module, head, nn.Identity())
    with torch.no_grad():
        features = module(images)
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        flat = shape == (len(images), classifier.in_features)
        if not flat or not _close(classifier(features), logits):
            raise InputError(
                f"{looked}; {_told(head, classifier)} is the last, but what it takes is not a "
                f"feature (n, {classifier.in_features}) from which it alone makes them"
            )
    module.train(training)
    return SplitNetwork(module, classifier, head)


def _watched(
    module: nn.Module, images: Tensor, called: str
) -> tuple[Tensor, list[tuple[str, nn.Linear]]]:
    """The logits, and the linear layers that were called, in order."""
    layers: list[tuple[str, nn.Linear]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_, name=name: layers.append((name, layer)))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = module(images)
    except Exception as error:  # a stranger's network may raise anything
        size = " × ".join(map(str, images.shape[1:]))
        cause = " ".join(str(error).split())
        raise InputError(f"arch {called!r} does not take images of {size}: {cause}") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor):
        raise InputError(f"arch {called!r} gives a {type(logits).__name__}, not logits")
    return logits, layers


def _main_output(module: nn.Module, taken: tuple[Tensor, ...], given: object) -> object:
    """In training some networks (Inception's) give the logits of further heads after their own."""
    return given[0] if isinstance(given, tuple) else given


def _replace(module: nn.Module, name: str, new: nn.Module) -> None:
    """Put another module in the place of a named one."""
    if not name:
        raise InputError("a single linear layer is no network with features")
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, new)


def _close(found: Tensor, expected: Tensor) -> bool:
    scale = max(1.0, float(expected.abs().max()))
    return math.isfinite(scale) and torch.allclose(found, expected, rtol=0, atol=1e-4 * scale)


def _told(name: str, layer: nn.Linear) -> str:
    return f"{name!r} ({layer.in_features} → {layer.out_features})"
