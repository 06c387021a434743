"""Folding of batch normalisation into the preceding layer.

In eval mode a batch norm multiplies and adds per channel, which the preceding convolution or linear
layer can do instead. That layer is found in a forward pass: the norm's input is its output, and
nothing else uses it. This folds any network as far as possible, pre-activation networks less so.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sdd_eval.models.network import logits_and_features

#: Largest change of probabilities, and of features and logits relative to their largest magnitude
#: (if that is above 1).
TOLERANCE = 1e-4

#: Layers whose output channels are the first axis of their weights (linear layers: of 2-D outputs
#: only). Subclasses are excluded, as they may use their weights otherwise.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Folding:
    """How many batch norms of a network are folded, and how much its outputs changed.

    `difference` is the largest change on the images it was tested on; `note` says why nothing was
    folded although something could have been.
    """

    folded: int = 0
    batch_norms: int = 0
    difference: float = 0.0
    note: str = ""


def fold(model: nn.Module, pixels: Tensor) -> tuple[nn.Module, Folding]:
    """Return a copy of a network with batch norms folded as far as possible, or the network itself.

    Features, logits and probabilities of the copy must agree within 1e-4 on `pixels` (n, channels,
    side, side), or nothing is folded. The network is in eval mode and is not changed.
    """
    norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
    if not norms:
        return model, Folding()
    try:
        folded_model = copy.deepcopy(model)
        pairs = _pairs(folded_model, pixels)
        for layer, norm in pairs:
            _absorb(layer, norm)
            _replace(folded_model, norm)
        difference = _difference(model, folded_model, pixels)
    except Exception as error:  # third-party networks may raise anything
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        return model, Folding(0, norms, note=f"not folded: {cause}")
    if not difference <= TOLERANCE:
        return model, Folding(
            0, norms, note=f"not folded: outputs would change by {difference:.1e}"
        )
    return (folded_model if pairs else model), Folding(len(pairs), norms, difference)


class _Tracer(TorchFunctionMode):
    """Records the output of each layer, the norm that uses it, and other uses of it."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, tuple[nn.Module, Tensor]] = {}
        self.uses: Counter[int] = Counter()
        self.calls: Counter[nn.Module] = Counter()
        self.candidates: list[tuple[nn.Module, nn.Module, Tensor]] = []
        self.inside_norm = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.inside_norm:
            leaves = tree_leaves((args, kwargs))
            self.uses.update(id(leaf) for leaf in leaves if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))

    def record_output(self, layer: nn.Module, _: Any, output: Any) -> None:
        """Record the output of a layer; the reference keeps its id unique."""
        self.calls[layer] += 1
        self.outputs[id(output)] = (layer, output)
        self.uses[id(output)] = 0  # an earlier tensor with this id no longer exists

    def enter_norm(self, norm: nn.Module, inputs: Any) -> None:
        """Record the layer whose output a norm receives."""
        self.calls[norm] += 1
        self.inside_norm = True
        self.uses[id(inputs[0])] += 1
        layer, output = self.outputs.get(id(inputs[0]), (None, None))
        if layer is not None and output is not None:
            self.candidates.append((layer, norm, output))

    def leave_norm(self, *_: Any) -> None:
        """Resume counting uses."""
        self.inside_norm = False

    def pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Yield layers and norms that ran once, where the norm alone used the layer's output."""
        for layer, norm, output in self.candidates:
            once = self.calls[layer] == self.calls[norm] == self.uses[id(output)] == 1
            if once and (not isinstance(layer, nn.Linear) or output.ndim == 2):
                yield layer, norm


def _pairs(model: nn.Module, pixels: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Return the layers that can absorb the following norm, each with its norm."""
    tracer = _Tracer()
    with ExitStack() as hooks:
        for module in model.modules():
            if module._forward_hooks or module._forward_pre_hooks:
                continue  # another hook may read or change input or output
            if type(module) in LAYERS:
                hooks.callback(module.register_forward_hook(tracer.record_output).remove)
            elif _is_affine(module):
                hooks.callback(module.register_forward_pre_hook(tracer.enter_norm).remove)
                hooks.callback(module.register_forward_hook(tracer.leave_norm).remove)
        with torch.no_grad(), tracer:
            model(pixels)
    return list(tracer.pairs())


def _is_affine(module: nn.Module) -> bool:
    known = type(module) in NORMS or type(module).__name__ == "BatchNormAct2d"  # timm's
    return known and not module.training and getattr(module, "running_mean", None) is not None


def _absorb(layer: Any, norm: Any) -> None:
    """Multiply and shift a layer's weights as the norm does, in float64."""
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    # New parameters: another layer may share the old ones.
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )


def _replace(model: nn.Module, norm: Any) -> None:
    """Replace a norm with what remains of it, everywhere in the model."""
    rest = nn.Identity() if type(norm) in NORMS else nn.Sequential(norm.drop, norm.act)
    for parent in model.modules():
        for name in [name for name, child in parent._modules.items() if child is norm]:
            setattr(parent, name, rest.eval())


def _difference(model: nn.Module, folded_model: nn.Module, pixels: Tensor) -> float:
    """Return the largest change of features, logits and probabilities."""
    logits, features = logits_and_features(model, pixels)
    folded_logits, folded_features = logits_and_features(folded_model, pixels)
    changes = [
        _relative_change(folded_logits, logits),
        (folded_logits.softmax(1) - logits.softmax(1)).abs().max(),
    ]
    if features is not None and folded_features is not None:
        changes.append(_relative_change(folded_features, features))
    return float(torch.stack(changes).max())  # NaN if one of them is


def _relative_change(values: Tensor, expected: Tensor) -> Tensor:
    return (values - expected).abs().max() / expected.abs().max().clamp(min=1)
