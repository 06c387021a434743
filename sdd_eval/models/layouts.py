"""Matching of the tensors in public checkpoints with those of a network.

Public checkpoints of one network differ in the names of its layers, and hold more than one network:
an optimiser, averages of the weights, a loss. Every known translation of names is tried below every
prefix; the one with the fewest mismatches is used, and its mismatches are reported.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.models.weight_norm import canonical, without_weight_norm
from sdd_eval.records import ModelSpec

#: Number of tensors that are reported with shapes.
NAMED_WITH_SHAPE = 5

#: Parts of a prefix that mark an average of weights or a teacher, which is not the default.
_AVERAGE = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|momentum|teacher)\d*([._]|$)")

#: Modules besides a network's own that do not change its logits: losses, metrics, training states,
#: and the branches of BYOT in public code.
_NOT_THE_NETWORK = re.compile(
    r"(\w+_)?(criterion|loss|losses|metrics?|optimi[sz]ers?)(_\w+)?\..*"
    r"|n_averaged|(.*\.)?total_(ops|params)"
    r"|(bottleneck\d_\d|downsample\d_\d|middle_fc\d)\..*"
)

#: Names of the built-in networks in public code → ours, applied in order: torchvision and its
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


@dataclass(frozen=True)
class Match:
    """Tensors in a file that are those of a network."""

    names: Mapping[str, str]
    """Names in the network → names in the file."""
    problems: Mismatches
    key: str = ""
    """Prefix of the names in the file, such as "state_dict.module"."""
    alternatives: tuple[str, ...] = ()
    """Further keys below which tensors fit the network, such as an average of weights."""
    left_out: tuple[str, ...] = ()
    """Parts of the file that are not used and fit nothing, such as "optimizer"."""

    def rank(self, tensors: Mapping[str, Tensor]) -> tuple[int, bool]:
        """Return the sort key of matches, smallest for the best: mismatches, then averages."""
        unfit = {name: len(shapes) for name, shapes in self.problems.items()}
        unfit["left over"] = len(tensors) - len({*self.names.values()})  # below other keys, too
        return sum(unfit.values()) if self.problems else 0, bool(_AVERAGE.search(self.key))


def match_weights(
    network: Network, tensors: Mapping[str, Tensor], where: str, key: str = ""
) -> tuple[dict[str, Tensor], Match]:
    """Return a file's tensors under the network's names and in its types, and how they match.

    With `key`, only the names that begin with it are considered; otherwise, if several networks
    fit, the first that is not an average of weights is used. The batch counters of batch norms,
    which old files lack and nothing reads, may be missing. Raise InputError if tensors are
    missing, unknown or of another shape (all are named, the first with shapes), not numbers of the
    network's kind, or not finite.
    """
    usable = _below(tensors, key, where)
    state = network.state_dict()
    if not any(name.endswith("_g") for name in map(canonical, state)):
        usable = without_weight_norm(usable)
    match = _best_match(network, usable)
    if match.problems:
        raise InputError(_misfit(network.spec, usable, where, match.problems))
    masks = {name for name, _ in network.named_buffers() if not name.endswith(("_mean", "_var"))}
    for ours, theirs in match.names.items():
        problem = _unusable(usable[theirs], state[ours], mask=ours in masks)
        if problem:
            raise InputError(f"{where}: {theirs!r} {problem}")
        state[ours] = usable[theirs].to(state[ours].dtype)
    return state, match


def _below(tensors: Mapping[str, Tensor], key: str, where: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a key; all for an empty one."""
    prefix = f"{key.removesuffix('.')}." if key else ""
    below = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not below:
        keys = ", ".join(dict.fromkeys(name.partition(".")[0] for name in tensors))
        raise InputError(f"--weights-key {key!r}: {where} has no such key; it has {keys}")
    return below


def _unusable(tensor: Tensor, ours: Tensor, *, mask: bool) -> str:
    """Return why a tensor cannot replace the network's; empty if it can.

    Masks may hold −∞.
    """
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        return "is sparse, quantised or without values; save it as a dense tensor"
    if tensor.is_complex() != ours.is_complex() or (
        tensor.is_floating_point() != ours.is_floating_point() and ours.ndim
    ):
        kinds = [str(t.dtype).removeprefix("torch.") for t in (tensor, ours)]
        return f"holds {kinds[0]} numbers, not {kinds[1]}"
    finite = torch.isfinite(tensor.to(ours.dtype))
    if not (finite | (tensor == -torch.inf) if mask else finite).all():
        return "holds numbers that are not finite"
    return ""


def _misfit(
    spec: ModelSpec, tensors: Mapping[str, Tensor], where: str, problems: Mismatches
) -> str:
    """Return the error about a file that does not fit, with the networks that do."""
    fitting = " and ".join(f"--arch {arch}" for arch in fitting_variants(spec, tensors))
    hint = f" but fits {fitting}" if fitting else ""
    return f"{where} does not fit arch {spec.arch!r}{hint}: {report(problems)}"


def fitting_variants(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the other built-in networks, and plugins, that a file's tensors fit."""
    fitting = []
    held = Counter(tensor.shape for tensor in tensors.values())
    for arch in sorted({*plugins.names("models")} - {spec.arch}):
        try:
            with torch.device("meta"):  # only shapes are needed
                network = build(replace(spec, arch=arch, options={}))
        except Exception:  # a plugin may not accept such images and may raise anything
            continue
        needed = Counter(tensor.shape for tensor in network.state_dict().values() if tensor.ndim)
        if needed <= held and not _best_match(network, tensors).problems:
            fitting.append(arch)
    return fitting


def _best_match(network: Network, tensors: Mapping[str, Tensor]) -> Match:
    """Return the match with the fewest mismatches, and the keys of other perfect matches."""
    expected = network.state_dict()
    needed = sum(not name.endswith("num_batches_tracked") for name in expected)
    candidates = [
        _match(network, expected, tensors, prefix, translate)
        for prefix in _prefixes(tensors, needed)
        for translate in _translations(network)
    ]
    fitting = tuple(f"{match.key}." for match in candidates if match.key and not match.problems)
    candidates = [_without_extra(match, fitting) for match in candidates]
    best = min(candidates, key=lambda match: match.rank(tensors))
    used = {*best.names.values()}
    others = {
        frozenset(match.names.values()): match.key
        for match in reversed(candidates)
        if not match.problems and used.isdisjoint(match.names.values())
    }
    alternatives = tuple(dict.fromkeys(reversed(others.values())))
    elsewhere = tuple(f"{key}." for key in alternatives)
    left_out = dict.fromkeys(
        _owner(name, f"{best.key}." if best.key else "")
        for name in tensors
        if name not in used and not name.startswith(elsewhere)
    )
    return replace(best, alternatives=alternatives, left_out=tuple(left_out))


def _without_extra(match: Match, prefixes: tuple[str, ...]) -> Match:
    """Return a match that lacks nothing, ignoring what is left over below some prefixes."""
    if {*match.problems} == {"left over"}:
        extra = {k: v for k, v in match.problems["left over"].items() if not k.startswith(prefixes)}
        return replace(match, problems={"left over": extra} if extra else {})
    return match


def _owner(name: str, prefix: str) -> str:
    """Return the outermost part of a name that is not part of a prefix.

    >>> _owner("state_dict.loss.weight", "state_dict.net."), _owner("optimizer.0", "model.")
    ('state_dict.loss', 'optimizer')
    """
    parts, kept = name.split("."), prefix.split(".")
    shared = next((i for i, part in enumerate(parts) if part != kept[i]), len(parts) - 1)
    return ".".join(parts[: shared + 1])


def _prefixes(names: Iterable[str], needed: int) -> Iterator[str]:
    """Yield the prefixes of at least half as many names as a network has tensors, outer first."""
    yield ""
    counts = Counter(name[: match.end()] for name in names for match in re.finditer(r"\.", name))
    yield from (prefix for prefix, count in counts.items() if 2 * count >= needed)


def _translations(network: Network) -> list[Callable[[str], str]]:
    """Return the known translations of names in a file to names in the network."""
    head = f"{network.head}."

    def inner(name: str) -> str:
        """Return the name in the network after its split into backbone and classifier."""
        if name.startswith(head):
            return "classifier." + name.removeprefix(head)
        return f"backbone.{name}"

    if ":" in network.spec.arch:
        return [str, inner]
    return [str, inner, lambda name: inner(_translated(name))]  # built in: layers' names are ours


@functools.lru_cache(maxsize=100_000)  # for all variants of a network
def _translated(name: str) -> str:
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _match(
    network: Network,
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    prefix: str,
    translate: Callable[[str], str],
) -> Match:
    """Return how the names below a prefix match, and others for what is missing there."""
    ours_of = {canonical(name): name for name in expected}
    inside = [name for name in tensors if name.startswith(prefix)]
    names: dict[str, str] = {}
    extra = []
    for theirs in [*inside, *(name for name in tensors if not name.startswith(prefix))]:
        inner = theirs.removeprefix(prefix).replace("_orig_mod.", "")  # of torch.compile
        ours = ours_of.get(canonical(translate(inner)))
        if ours is not None and ours not in names:
            names[ours] = theirs
        elif theirs.startswith(prefix) and not _NOT_THE_NETWORK.fullmatch(inner):
            extra.append(theirs)
    _add_tied(names, expected)
    return Match(names, _problems(network, expected, tensors, names, extra), prefix.rstrip("."))


def _add_tied(names: dict[str, str], expected: Mapping[str, Tensor]) -> None:
    """Add the names of tensors that the network shares with others and the file has only once."""
    held = {(expected[o].data_ptr(), expected[o].shape): theirs for o, theirs in names.items()}
    for ours, tensor in expected.items():
        memory = tensor.data_ptr(), tensor.shape
        if ours not in names and memory[0] and memory in held:  # 0: without values, as on "meta"
            names[ours] = held[memory]


def mismatches(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Mismatches:
    """Return which of a network's tensors are missing, of another shape or left over."""
    names = {name: name for name in tensors if name in expected}
    extra = [name for name in tensors if name not in expected]
    return _problems(None, expected, tensors, names, extra)


def _problems(
    network: Network | None,
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    extra: Sequence[str],
) -> Mismatches:
    """Return what does not fit; with a network, under its names before it was split."""
    problems = {
        "missing": {
            _before_split(name, network): str(tuple(tensor.shape))
            for name, tensor in expected.items()
            if name not in names and not (network and name.endswith("num_batches_tracked"))
        },
        "left over": {name: str(tuple(tensors[name].shape)) for name in sorted(extra)},
        "of another shape": {
            theirs: f"{tuple(tensors[theirs].shape)} in the file, "
            f"{tuple(expected[ours].shape)} in the network"
            for ours, theirs in names.items()
            if tensors[theirs].shape != expected[ours].shape
        },
    }
    return {problem: shapes for problem, shapes in problems.items() if shapes}


def _before_split(name: str, network: Network | None) -> str:
    if network is None:
        return name
    inner = name.removeprefix("backbone.")
    return inner if inner != name else network.head + name.removeprefix("classifier")


def report(problems: Mismatches) -> str:
    """Return mismatches on one line: all names, the first ones with their shapes."""
    reports = []
    for problem, shapes in problems.items():
        texts = [f"{name} {shape}" for name, shape in shapes.items()][:NAMED_WITH_SHAPE]
        texts += list(shapes)[NAMED_WITH_SHAPE:]
        reports.append(f"{len(shapes)} {problem}: {', '.join(texts)}")
    return "; ".join(reports)
