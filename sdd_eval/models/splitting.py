"""Splitting a network into backbone and classifier, and a backbone into stages."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sdd_eval.errors import InputError
from sdd_eval.models.network import Stages, restored


def as_stages(backbone: nn.Module, width: int, images: Tensor) -> nn.Module:
    """Return the backbone as `Stages` if it is the sequence of its children, else unchanged.

    This is the case for ResNets of torchvision and timm: their `layer1` … `layer4` become
    accessible by name, and the names of weights do not change. Whether the children in sequence
    compute the same features (n, width) is tested on standardised images (n, channels, side, side),
    in both modes.
    """
    children = dict(backbone.named_children())
    if "layer1" not in children:
        return backbone
    stages = Stages({**children, "flatten": nn.Flatten()}, width)
    stages.training = backbone.training
    if stages.state_dict().keys() != backbone.state_dict().keys():
        return backbone
    return stages if _same_outputs(backbone, stages, images) else backbone


def _same_outputs(one: nn.Module, other: nn.Module, images: Tensor) -> bool:
    """Return whether two modules have the same outputs, in eval and in train mode."""
    try:
        with restored(one, other):
            return all(
                torch.allclose(_output(one, images, mode), _output(other, images, mode), atol=1e-5)
                for mode in (False, True)
            )
    except Exception:  # a child does not accept the previous one's output
        return False


def _output(module: nn.Module, images: Tensor, training: bool) -> Tensor:
    """Return a module's output in train or eval mode, with fixed random numbers."""
    module.train(training)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        output: Tensor = module(images)
    return output


def split_classifier(
    module: nn.Module, classes: int, images: Tensor, arch: str
) -> tuple[nn.Linear, str]:
    """Remove the classifier from a network, and return it with its name.

    The classifier is the last `nn.Linear` that a forward pass calls. Whether both parts together
    compute the same logits (n, classes) is tested on a few standardised `images`. Raise InputError
    if the network `arch` does not accept the images, does not return logits, or its logits are not
    the output of a linear layer.
    """
    training = module.training
    module.register_forward_hook(_main_output)
    module.eval()
    logits, layers = _trace_linear_layers(module, images, arch)
    if logits.shape != (len(images), classes):
        raise InputError(
            f"arch {arch!r} gives {tuple(logits.shape)} for {len(images)} images, "
            f"not logits ({len(images)}, {classes})"
        )
    fitting = [name for name, layer in layers if layer.out_features == classes]
    searched = f"arch {arch!r}: looked for a last nn.Linear (… → {classes}) that gives the logits"
    if not layers or not fitting or fitting[-1] != layers[-1][0]:
        last = f"the last of {len(layers)} is {_layer_text(*layers[-1])}" if layers else ""
        raise InputError(f"{searched}; {last or 'there is none'}")
    head, classifier = layers[-1]
    if not head:
        raise InputError("a single linear layer is no network with features")
    parent, _, child = head.rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Identity())
    with torch.no_grad():
        features = module(images)
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        same = shape == (len(images), classifier.in_features)
        if same:
            scale = max(1.0, float(logits.abs().max()))
            close = torch.allclose(classifier(features), logits, rtol=0, atol=1e-4 * scale)
            same = math.isfinite(scale) and close
        if not same:
            setattr(module.get_submodule(parent), child, classifier)
            raise InputError(
                _known_fault(module, images, logits, arch)
                or f"{searched}; {_layer_text(head, classifier)} is the last, but its input is not "
                f"a feature (n, {classifier.in_features}) from which it alone computes them"
            )
    module.train(training)
    return classifier, head


def _known_fault(module: nn.Module, images: Tensor, logits: Tensor, arch: str) -> str:
    """Return a known reason why the last linear layer does not give the outputs, or ""."""
    sums = bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
    positive = bool((logits > 0).all())  # a sigmoid's values, not a ReLU's zeros
    if bool(((logits >= 0) & (logits <= 1)).all()) and (sums or positive):
        values, last = ("probabilities", "softmax") if sums else ("values of a sigmoid", "sigmoid")
        return (
            f"arch {arch!r} returns {values} (rows from 0 to 1 that {'' if sums else 'do not '}sum "
            f"to 1), not logits; leave out its last {last}"
        )
    if not torch.allclose(module(images), logits, rtol=1e-2):
        return (
            f"arch {arch!r} gives other logits in another pass over the same images; switch its "
            "dropout or other randomness off in eval mode"
        )
    return ""


def _trace_linear_layers(
    module: nn.Module, images: Tensor, arch: str
) -> tuple[Tensor, list[tuple[str, nn.Linear]]]:
    """Return the logits, and the linear layers in the order of their calls."""
    layers: list[tuple[str, nn.Linear]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_, name=name: layers.append((name, layer)))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = module(images)
    except Exception as error:  # third-party networks may raise anything
        size = " × ".join(map(str, images.shape[1:]))
        cause = " ".join(str(error).split())
        raise InputError(f"arch {arch!r} does not take images of {size}: {cause}") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor):
        raise InputError(f"arch {arch!r} gives a {type(logits).__name__}, not logits")
    return logits, layers


def _main_output(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> object:
    """Return the first output; in train mode, Inception also returns auxiliary logits."""
    return output[0] if isinstance(output, tuple) else output


def _layer_text(name: str, layer: nn.Linear) -> str:
    return f"{name!r} ({layer.in_features} → {layer.out_features})"
