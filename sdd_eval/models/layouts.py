"""Mapping of tensor names in public checkpoints to the names of this package.

Public checkpoints of one network differ in the names of its layers. Names are translated in every
known way; the way with the fewest mismatches is used, and the remaining ones are reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from sdd_eval.errors import InputError
from sdd_eval.models.network import Network

#: Number of tensors that are reported with shapes.
NAMED_WITH_SHAPE = 5

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


#: Names with their shapes, by the problem: missing, left over, or of another shape.
Mismatches = Mapping[str, Mapping[str, str]]


def match_weights(network: Network, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return a file's tensors under the network's names and in its types.

    The batch counters of batch norms, which old files lack and nothing reads, may be missing. Raise
    InputError if tensors are missing, unknown or of another shape (all are named, the first with
    shapes), or not finite.
    """
    expected = network.state_dict()
    candidates = [
        (mismatches(expected, tensors, mapping, network.head), mapping)
        for mapping in _mappings(network, list(tensors))
    ]
    problems, mapping = min(candidates, key=lambda pair: sum(map(len, pair[0].values())))
    if problems:
        raise InputError(f"{where} does not fit arch {network.spec.arch!r}: {report(problems)}")
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
    """Yield the names, and those without the prefixes of wrappers, which all names share."""
    yield list(names)
    inner = [name.replace("_orig_mod.", "") for name in names]  # of torch.compile
    yield inner
    while len({name.partition(".")[0] for name in inner}) == 1:
        inner = [name.partition(".")[2] for name in inner]
        yield inner


def _translated(name: str) -> str:
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def mismatches(
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    mapping: Mapping[str, str] | None = None,
    head: str = "",
) -> Mismatches:
    """Return what does not fit a network's tensors; empty if all do.

    `mapping` has names in the file → names in the network, by default the same. With `head`, the
    classifier's former name, missing tensors have their names before the network was split; and
    batch counters may be missing.
    """
    mapping = mapping or dict(zip(tensors, tensors, strict=True))
    names = {ours: theirs for theirs, ours in mapping.items()}
    shapes = {name: str(tuple(tensor.shape)) for name, tensor in expected.items()}
    theirs_of = {name: str(tuple(tensor.shape)) for name, tensor in tensors.items()}
    problems = {
        "missing": {
            _before_split(name, head): shape
            for name, shape in shapes.items()
            if name not in names and not (head and name.endswith("num_batches_tracked"))
        },
        "left over": {
            theirs: theirs_of[theirs]
            for theirs, ours in mapping.items()
            if ours not in expected or names[ours] != theirs
        },
        "of another shape": {
            theirs: f"{theirs_of[theirs]} in the file, {shapes[ours]} in the network"
            for ours, theirs in names.items()
            if ours in shapes and theirs_of[theirs] != shapes[ours]
        },
    }
    return {problem: tensors for problem, tensors in problems.items() if tensors}


def _before_split(name: str, head: str) -> str:
    if not head:
        return name
    inner = name.removeprefix("backbone.")
    return inner if inner != name else head + name.removeprefix("classifier")


def report(problems: Mismatches) -> str:
    """Return mismatches on one line: all names, the first ones with their shapes."""
    reports = []
    for problem, shapes in problems.items():
        texts = [f"{name} {shape}" for name, shape in shapes.items()][:NAMED_WITH_SHAPE]
        texts += list(shapes)[NAMED_WITH_SHAPE:]
        reports.append(f"{len(shapes)} {problem}: {', '.join(texts)}")
    return "; ".join(reports)
