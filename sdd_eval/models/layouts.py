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
    (r"\.downsample\.", ".shortcut."),
    (r"\.convShortcut\.", ".shortcut."),
    (r"^conv1\.0\.", "conv1."),
    (r"^conv1\.1\.", "bn1."),
    (r"^conv([2-5])_x\.", lambda found: f"layer{int(found[1]) - 1}."),
    (r"\.residual_function\.0\.", ".conv1."),
    (r"\.residual_function\.1\.", ".bn1."),
    (r"\.residual_function\.3\.", ".conv2."),
    (r"\.residual_function\.4\.", ".bn2."),
    (r"\.residual_function\.6\.", ".conv3."),
    (r"\.residual_function\.7\.", ".bn3."),
    (r"^block(\d)\.layer\.", r"layer\1."),
    (r"^dense(\d)\.", r"layer\1."),
    (r"^trans(\d)\.(bn|conv)\.", r"trans\1.\g<2>1."),
    (r"^bn\.", "bn1."),
    (r"^features\.conv0\.", "conv1."),
    (r"^features\.norm(_final|5)\.", "bn1."),
    (r"^features\.transition(\d)\.norm\.", r"trans\1.bn1."),
    (r"^features\.transition(\d)\.conv\.", r"trans\1.conv1."),
    (
        r"^features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)",
        lambda found: (
            f"layer{found[1]}.{int(found[2]) - 1}.{'bn' if found[3] == 'norm' else 'conv'}"
        ),
    ),
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

    The batch counters of batch norms, which old files lack and nothing reads, may be missing.

    Raises:
        InputError: tensors are missing, unknown or of another shape (all are named, the first with
            shapes), or not finite.
    """
    own = network.state_dict()
    ways = list(_ways(network, list(tensors)))
    misfits = [_misfits(network, own, tensors, way) for way in ways]
    best = min(range(len(ways)), key=lambda way: misfits[way].count)
    if misfits[best].count:
        raise InputError(
            f"{where} does not fit arch {network.spec.arch!r}: {_report(misfits[best])}"
        )
    state = dict(own)
    for theirs, ours in ways[best].items():
        tensor = tensors[theirs].to(own[ours].dtype)
        if not torch.isfinite(tensor).all():
            raise InputError(f"{where}: {theirs!r} holds numbers that are not finite")
        state[ours] = tensor
    return state


def _ways(network: Network, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the mappings of names in the file to names in the network, in every known way."""
    head = f"{network.head}."

    def placed(name: str) -> str:
        """From the network before it was parted into backbone and classifier."""
        if name.startswith(head):
            return "classifier." + name.removeprefix(head)
        return f"backbone.{name}"

    for unwrapped in _unwrapped(names):
        ways = [unwrapped, [placed(name) for name in unwrapped]]
        if ":" not in network.spec.arch:  # built in: the layers' names are ours
            ways.append([placed(_ruled(name)) for name in unwrapped])
        yield from (dict(zip(names, way, strict=True)) for way in ways)


def _unwrapped(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names without the wrappers that all of them share, one wrapper after the other."""
    yield list(names)
    inner = [name.replace("_orig_mod.", "") for name in names]
    if inner != list(names):
        yield inner
    while inner and (shared := _shared(inner)):
        inner = [name.removeprefix(shared) for name in inner]
        yield inner


def _shared(names: Sequence[str]) -> str:
    """Return the wrapper before all names; empty if there is none."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in names):
            return wrapper
    return ""


def _ruled(name: str) -> str:
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _misfits(
    network: Network,
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    way: Mapping[str, str],
) -> Mismatches:
    there = {ours: theirs for theirs, ours in way.items()}
    outer = _outer(network)
    return Mismatches(
        missing={
            outer(name): tuple(tensor.shape)
            for name, tensor in own.items()
            if name not in there and not name.endswith("num_batches_tracked")
        },
        extra={
            theirs: tuple(tensors[theirs].shape)
            for theirs, ours in way.items()
            if ours not in own or there[ours] != theirs
        },
        shapes={
            theirs: (tuple(tensors[theirs].shape), tuple(own[ours].shape))
            for ours, theirs in there.items()
            if ours in own and tensors[theirs].shape != own[ours].shape
        },
    )


def _outer(network: Network) -> Callable[[str], str]:
    """Return a function from a tensor's name to its name in the original network."""
    return lambda name: (
        name.removeprefix("backbone.")
        if name.startswith("backbone.")
        else network.head + name.removeprefix("classifier")
    )


def _report(misfits: Mismatches) -> str:
    """Return all names, the first with their shapes."""
    shapes = {
        name: f"{theirs} in the file, {ours} in the network"
        for name, (theirs, ours) in misfits.shapes.items()
    }
    parts = {
        "missing": misfits.missing,
        "left over": misfits.extra,
        "of another shape": shapes,
    }
    return "; ".join(
        f"{len(found)} {what}: {_listed(found)}" for what, found in parts.items() if found
    )


def _listed(found: Mapping[str, object]) -> str:
    named = [
        f"{name} {shape}" if index < NAMED_WITH_SHAPE else name
        for index, (name, shape) in enumerate(found.items())
    ]
    return ", ".join(named)
