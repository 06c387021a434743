"""Build a network from its spec, initialised from torch's global random state.

A plugin of `sdd_eval.models` takes (classes, channels, image_size, **options) and returns a
backbone: a module from standardised images (n, channels, side, side) to features (n, width), with
an attribute `width`. If it is a `sdd_eval.models.network.Stages`, its stages `layer1` … are
accessible by name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sdd_eval import plugins
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.models.foreign import build_foreign, check_name, refuse_code
from sdd_eval.models.network import Network
from sdd_eval.models.splitting import as_stages, split_classifier
from sdd_eval.records import ModelSpec
from sdd_eval.validation import FROM_1, LAYERS, SIDE, check_bound

#: Bound of the number of classes.
CLASSES = FROM_1.at_most(100_000, "the largest public sets of labels have 22,000")

#: Bounds of standardisation constants; with others, weights may exceed the range of float32.
CONSTANTS = (1e-6, 1e6)

#: Units of a hidden fully connected layer (the paper's Table 13).
HIDDEN_UNITS = 512


def build(spec: ModelSpec, *, trust_code: bool = False) -> Network:
    """Return the network of a spec.

    The spec's option `hidden_layers` configures the classifier; all others go to the builder.
    A factory is called only with `trust_code`: its code comes with the checkpoint, not with this
    package. Raise InputError if the architecture is unknown or not trusted, does not accept the
    options or does not end with a linear layer, or the spec's constants are invalid.
    """
    _check(spec, trust_code)
    options = dict(spec.options)
    hidden_layers = options.pop("hidden_layers", 0)
    if ":" in spec.arch:
        return _foreign(spec, options, hidden_layers)
    builder = plugins.load("models", spec.arch)
    try:
        backbone = builder(spec.classes, spec.channels, spec.image_size, **options)
        return Network(spec, backbone, classifier(backbone.width, spec.classes, hidden_layers))
    except InputError:
        raise
    except Exception as error:  # options of a wrong type, or too large for memory
        cause = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"arch {spec.arch!r} and its options {options}: {cause}") from error


def _foreign(spec: ModelSpec, options: dict[str, Any], hidden_layers: int) -> Network:
    """Return a network of a library or factory, split before its last linear layer."""
    module = build_foreign(spec, options)
    shape = (2, spec.channels, spec.image_size, spec.image_size)
    # A separate generator: the global random state is reserved for the initialisation.
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    last, head = split_classifier(module, spec.classes, images, spec.arch)
    width = last.in_features
    replaced = classifier(width, spec.classes, hidden_layers) if hidden_layers else last
    return Network(spec, as_stages(module, width, images), replaced, head)


def classifier(width: int, classes: int, hidden_layers: int = 0) -> nn.Module:
    """Return a linear layer on the feature, after hidden layers of 512 units with ReLU."""
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(width, HIDDEN_UNITS), nn.ReLU()]
        width = HIDDEN_UNITS
    last = nn.Linear(width, classes)
    return nn.Sequential(*layers, last) if layers else last


def check_arch(arch: str, *, trust_code: bool = False) -> None:
    """Raise InputError if an architecture is unknown, or is code that is not trusted."""
    if ":" in arch:
        refuse_code(arch, trust_code)
        check_name(arch)
    elif arch not in plugins.names("models"):
        raise unknown_name("arch", arch, plugins.names("models"))


def _check(spec: ModelSpec, trust_code: bool) -> None:
    check_arch(spec.arch, trust_code=trust_code)
    hidden_layers = spec.options.get("hidden_layers", 0)
    if not isinstance(hidden_layers, int):
        raise InputError(f"hidden_layers is {hidden_layers!r}; it must be a whole number")
    check_bound("hidden_layers", hidden_layers, LAYERS)
    check_bound("classes", spec.classes, CLASSES)
    check_bound("image_size", spec.image_size, SIDE)
    if not spec.mean or len(spec.mean) != len(spec.std):
        raise InputError(f"mean {spec.mean} and std {spec.std} have different numbers of channels")
    lowest, highest = CONSTANTS
    if not all(abs(m) <= highest for m in spec.mean) or not all(
        lowest <= s <= highest for s in spec.std
    ):
        raise InputError(
            f"mean {spec.mean} and std {spec.std} must be finite, and std positive: means from "
            f"−{highest:g} to {highest:g}, std from {lowest:g} to {highest:g}"
        )
