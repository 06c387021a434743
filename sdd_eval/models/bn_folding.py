"""Batch normalisation folded into the layer before it: the same numbers, sooner.

In eval mode a batch norm is a multiplication and an addition for each channel, which the
convolution or linear layer before it can do as well. Which layer that is shows in a forward pass:
the norm takes the very tensor that the layer gave, and nothing else takes it. So networks of any
making are folded as far as that goes; in pre-activation networks it goes less far.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sdd_eval.models.features import logits_and_features

#: How far features and logits (in units of their largest, if that is above 1) and probabilities
#: may move.
TOLERANCE = 1e-4

#: Layers of which a norm sees as channels what the first axis of the weights makes, of linear ones
#: in two dimensions only. Their heirs may use the weights otherwise, so none of those.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Folding:
    """How many of a network's batch norms are folded, and how far its numbers moved by that.

    `difference` is the largest on the images that it was tried on; `note` says why nothing is
    folded where something could have been.
    """

    folded: int = 0
    batch_norms: int = 0
    difference: float = 0.0
    note: str = ""


def fold(model: nn.Module, pixels: Tensor) -> tuple[nn.Module, Folding]:
    """A copy of a network whose batch norms are folded as far as they can be, or the network.

    Args:
        model: in eval mode; it stays as it is.
        pixels: images (n, channels, side, side) that the copy is tried on. Features, logits and
            probabilities must be the same within 1e-4, or nothing is folded.
    """
    norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
    if not norms:
        return model, Folding()
    try:
        copied = copy.deepcopy(model)
        pairs = _pairs(copied, pixels)
        for layer, norm in pairs:
            _take_in(layer, norm)
            _replace(copied, norm)
        difference = _difference(model, copied, pixels)
    except Exception as error:  # a stranger's network may raise anything
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        return model, Folding(0, norms, note=f"not folded: {cause}")
    if not difference <= TOLERANCE:
        return model, Folding(0, norms, note=f"not folded: numbers would move by {difference:.1e}")
    return (copied if pairs else model), Folding(len(pairs), norms, difference)


class _Watch(TorchFunctionMode):
    """What each layer gives, which norm takes it, and how often something else does."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[int, tuple[nn.Module, Tensor]] = {}
        self.taken: Counter[int] = Counter()
        self.calls: Counter[nn.Module] = Counter()
        self.met: list[tuple[nn.Module, nn.Module, Tensor]] = []
        self.in_a_norm = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every function of torch comes by here."""
        if not self.in_a_norm:
            leaves = tree_leaves((args, kwargs))
            self.taken.update(id(each) for each in leaves if isinstance(each, Tensor))
        return func(*args, **(kwargs or {}))

    def gave(self, layer: nn.Module, _: Any, output: Any) -> None:
        """A layer has given something; it is kept, so that its id stays its own."""
        self.calls[layer] += 1
        self.given[id(output)] = (layer, output)
        self.taken[id(output)] = 0  # what had this id before is gone

    def takes(self, norm: nn.Module, inputs: Any) -> None:
        """A norm is about to take something."""
        self.calls[norm] += 1
        self.in_a_norm = True
        self.taken[id(inputs[0])] += 1
        layer, given = self.given.get(id(inputs[0]), (None, None))
        if layer is not None and given is not None:
            self.met.append((layer, norm, given))

    def took(self, *_: Any) -> None:
        """It has done so."""
        self.in_a_norm = False

    def pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Layers and norms that ran once, what the one gave being taken by the other alone."""
        for layer, norm, given in self.met:
            once = self.calls[layer] == self.calls[norm] == self.taken[id(given)] == 1
            if once and (not isinstance(layer, nn.Linear) or given.ndim == 2):
                yield layer, norm


def _pairs(model: nn.Module, pixels: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Each layer that can take in the norm after it, with that norm."""
    watch = _Watch()
    with ExitStack() as hooks:
        for module in model.modules():
            if module._forward_hooks or module._forward_pre_hooks:
                continue  # something else looks at what goes in or comes out, or changes it
            if type(module) in LAYERS:
                hooks.callback(module.register_forward_hook(watch.gave).remove)
            elif _is_affine(module):
                hooks.callback(module.register_forward_pre_hook(watch.takes).remove)
                hooks.callback(module.register_forward_hook(watch.took).remove)
        with torch.no_grad(), watch:
            model(pixels)
    return list(watch.pairs())


def _is_affine(module: nn.Module) -> bool:
    """Whether a module is a batch norm that treats every batch alike."""
    known = type(module) in NORMS or type(module).__name__ == "BatchNormAct2d"  # timm's
    return known and not module.training and getattr(module, "running_mean", None) is not None


def _take_in(layer: Any, norm: Any) -> None:
    """Let a layer do what the norm after it does; formed in float64."""
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -norm.running_mean.double() * scale
    if layer.bias is not None:
        bias = bias + layer.bias.double() * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    weight = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.ndim - 1))
    kind = layer.weight.dtype
    # New parameters: another layer may share the old ones.
    layer.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(kind), requires_grad=False)


def _replace(model: nn.Module, norm: Any) -> None:
    """Put what is left of a norm in all its places."""
    left = nn.Identity() if type(norm) in NORMS else nn.Sequential(norm.drop, norm.act)
    for parent in model.modules():
        for name in [name for name, child in parent._modules.items() if child is norm]:
            setattr(parent, name, left.eval())


def _difference(model: nn.Module, copied: nn.Module, pixels: Tensor) -> float:
    """How far features, logits and probabilities are from those of the network as it was."""
    logits, features = logits_and_features(model, pixels)
    found, its = logits_and_features(copied, pixels)
    apart = [_apart(found, logits), float((found.softmax(1) - logits.softmax(1)).abs().max())]
    if features is not None and its is not None:
        apart.append(_apart(its, features))
    return max(apart, key=lambda each: math.inf if math.isnan(each) else each)


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))
