"""Mapping of tensor names in public checkpoints to the names of this package.

Public checkpoints of one network differ in the names of its layers. Names are translated in every
known way; the way with the fewest mismatches is used, and the remaining ones are reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdd_eval.errors import InputError
from sdd_eval.models.network import Network

#: Number of tensors that are reported with shapes.
NAMED_WITH_SHAPE = 5

#: Prefixes of wrappers (DataParallel, torch.compile, LightningModule).
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "encoder.")

#: Names of the built-in networks in public code → ours, one after the other: torchvision and its
#: descendants, pytorch-cifar100 (conv2_x, residual_function), WideResNet-pytorch and
#: densenet-pytorch (block1.layer.0), pytorch-classification (dense1.0), pytorch-cifar (trans1.bn;
#: its DenseNets have `newest` "first"), efficient_densenet.
RULES: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]] = (
    (r"^(fc|linear|head|logits|output|last_linear)\.", "classifier."),
    (r"\.(downsample|convShortcut)\.", ".shortcut."),
    (r"^conv1\.0\.", "conv1."),
    (r"^conv1\.1\.", "bn1."),
    (r"^conv([2-5])_x\.", lambda match: f"layer{int(match[1]) - 1}."),
    (
        r"\.residual_function\.([0-7])\.",  # convolution, batch norm and ReLU, up to three times
        lambda match: f".{('conv', 'bn')[int(match[1]) % 3]}{int(match[1]) // 3 + 1}.",
    ),
    (r"^block(\d)\.layer\.", r"layer\1."),
    (r"^dense(\d)\.", r"layer\1."),
    (r"^trans(\d)\.(bn|conv)\.", r"trans\1.\g<2>1."),
    (r"^bn\.", "bn1."),
    (r"^features\.conv0\.", "conv1."),
    (r"^features\.norm(_final|5)\.", "bn1."),
    (r"^features\.transition(\d)\.", r"trans\1."),
    (r"^(trans\d)\.(norm|conv)\.", r"\1.\g<2>1."),
    (
        r"^features\.denseblock(\d)\.denselayer(\d+)\.",
        lambda match: f"layer{match[1]}.{int(match[2]) - 1}.",
    ),
    (r"\.norm(\d)\.", r".bn\1."),
)


@dataclass(frozen=True)
class Mismatches:
    """Tensors missing in the file, unknown to the network, or of another shape, by name."""

    missing: Mapping[str, tuple[int, ...]]
    extra: Mapping[str, tuple[int, ...]]
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Shape in the file, and in the network."""

    @property
    def count(self) -> int:
        """Return the number of mismatches."""
        return len(self.missing) + len(self.extra) + len(self.shapes)


def match_weights(network: Network, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return a file's tensors under the network's names and in its types.

    The batch counters of batch norms, which old files lack and nothing reads, may be missing. Raise
    InputError if tensors are missing, unknown or of another shape (all are named, the first with
    shapes), or not finite.
    """
    expected = network.state_dict()
    candidates = [
        (_mismatches(network, expected, tensors, mapping), mapping)
        for mapping in _mappings(network, list(tensors))
    ]
    mismatches, mapping = min(candidates, key=lambda candidate: candidate[0].count)
    if mismatches.count:
        raise InputError(f"{where} does not fit arch {network.spec.arch!r}: {_report(mismatches)}")
    state = dict(expected)
    for theirs, ours in mapping.items():
        tensor = tensors[theirs].to(expected[ours].dtype)
        if not torch.isfinite(tensor).all():
            raise InputError(f"{where}: {theirs!r} holds numbers that are not finite")
        state[ours] = tensor
    return state


def _mappings(network: Network, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the mappings of names in the file to names in the network, in every known way."""
    head = f"{network.head}."

    def inner(name: str) -> str:
        """Return the name in the network as split into backbone and classifier."""
        if name.startswith(head):
            return "classifier." + name.removeprefix(head)
        return f"backbone.{name}"

    for unwrapped in _unwrapped(names):
        translations = [unwrapped, [inner(name) for name in unwrapped]]
        if ":" not in network.spec.arch:  # built in: the layers' names are ours
            translations.append([inner(_translated(name)) for name in unwrapped])
        yield from (dict(zip(names, names_here, strict=True)) for names_here in translations)


def _unwrapped(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names without the wrappers that all of them share, one wrapper after the other."""
    yield list(names)
    inner = [name.replace("_orig_mod.", "") for name in names]
    if inner != list(names):
        yield inner
    while inner:
        shared = [prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in inner)]
        if not shared:
            return
        inner = [name.removeprefix(shared[0]) for name in inner]
        yield inner


def _translated(name: str) -> str:
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _mismatches(
    network: Network,
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    mapping: Mapping[str, str],
) -> Mismatches:
    names = {ours: theirs for theirs, ours in mapping.items()}

    def original(name: str) -> str:
        """Return the name of a tensor before the network was split."""
        if name.startswith("backbone."):
            return name.removeprefix("backbone.")
        return network.head + name.removeprefix("classifier")

    return Mismatches(
        missing={
            original(name): tuple(tensor.shape)
            for name, tensor in expected.items()
            if name not in names and not name.endswith("num_batches_tracked")
        },
        extra={
            theirs: tuple(tensors[theirs].shape)
            for theirs, ours in mapping.items()
            if ours not in expected or names[ours] != theirs
        },
        shapes={
            theirs: (tuple(tensors[theirs].shape), tuple(expected[ours].shape))
            for ours, theirs in names.items()
            if ours in expected and tensors[theirs].shape != expected[ours].shape
        },
    )


def _report(mismatches: Mismatches) -> str:
    parts: dict[str, Mapping[str, object]] = {
        "missing": mismatches.missing,
        "left over": mismatches.extra,
        "of another shape": {
            name: f"{theirs} in the file, {ours} in the network"
            for name, (theirs, ours) in mismatches.shapes.items()
        },
    }
    reports = []
    for problem, names in parts.items():
        texts = [f"{name} {shape}" for name, shape in names.items()][:NAMED_WITH_SHAPE]
        texts += list(names)[NAMED_WITH_SHAPE:]
        reports += [f"{len(names)} {problem}: {', '.join(texts)}"] if names else []
    return "; ".join(reports)
