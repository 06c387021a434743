"""Spec → network, freshly initialised from torch's global random state."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import nn

from sdd_eval import plugins
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.models.foreign import build_foreign, check_name, refuse_code
from sdd_eval.models.network import Network
from sdd_eval.models.splitting import as_stages, split_classifier
from sdd_eval.records import ModelSpec

#: Units of a hidden fully connected layer (the paper's Table 13).
HIDDEN_UNITS = 512


def build(spec: ModelSpec, *, trust_code: bool = False) -> Network:
    """The network of a spec.

    Of its options `hidden_layers` is the classifier's, the others are the builder's. A factory is
    called only with `trust_code`: it runs code that comes with the checkpoint, not with this
    package.

    Raises:
        InputError: the architecture is unknown or not trusted, its options are not its own, its
            logits do not come out of a linear layer, or the spec's constants are none.
    """
    _check(spec, trust_code)
    options = dict(spec.options)
    hidden_layers = int(options.pop("hidden_layers", 0))
    if ":" in spec.arch:
        return _foreign(spec, options, hidden_layers)
    builder = plugins.load("models", spec.arch)
    try:
        inspect.signature(builder).bind(spec.classes, spec.channels, spec.image_size, **options)
    except TypeError as error:
        raise InputError(f"arch {spec.arch!r} and its options {options}: {error}") from error
    backbone = builder(spec.classes, spec.channels, spec.image_size, **options)
    return Network(spec, backbone, classifier(backbone.width, spec.classes, hidden_layers))


def _foreign(spec: ModelSpec, options: dict[str, Any], hidden_layers: int) -> Network:
    """A network from elsewhere, parted before its last linear layer."""
    module = build_foreign(spec, options)
    shape = (2, spec.channels, spec.image_size, spec.image_size)
    # Numbers of its own: the global random state is the initialisation's.
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = split_classifier(module, spec.classes, images, spec.arch)
    last: nn.Module = found.classifier
    if hidden_layers:
        last = classifier(found.classifier.in_features, spec.classes, hidden_layers)
    backbone = as_stages(found.backbone, found.classifier.in_features, images)
    return Network(spec, backbone, last, head=found.head)


def classifier(width: int, classes: int, hidden_layers: int = 0) -> nn.Module:
    """A linear layer on the feature, after so many hidden layers of 512 units with ReLU."""
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(width, HIDDEN_UNITS), nn.ReLU()]
        width = HIDDEN_UNITS
    last = nn.Linear(width, classes)
    return nn.Sequential(*layers, last) if layers else last


def check_arch(arch: str, *, trust_code: bool = False) -> None:
    """Refuse an architecture that cannot be built, before any data is loaded.

    Raises:
        InputError: naming the architectures that can, or that it is code that is not trusted.
    """
    if ":" in arch:
        refuse_code(arch, trust_code)
        check_name(arch)
    elif arch not in plugins.names("models"):
        raise unknown_name("arch", arch, plugins.names("models"))


def _check(spec: ModelSpec, trust_code: bool) -> None:
    """Refuse a spec that is no network's."""
    check_arch(spec.arch, trust_code=trust_code)
    if spec.classes < 1 or spec.image_size < 1:
        raise InputError(
            f"a network has 1 class and 1 pixel at least, not {spec.classes} and {spec.image_size}"
        )
    if not spec.mean or len(spec.mean) != len(spec.std):
        raise InputError(f"mean {spec.mean} and std {spec.std} differ in their channels")
    if not all(map(math.isfinite, spec.mean)) or not all(0 < s < math.inf for s in spec.std):
        raise InputError(f"mean {spec.mean} and std {spec.std} do not standardise")
