"""Other ways to run imported weights that their names and shapes do not rule out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from sdd_eval import plugins
from sdd_eval.data.standardisation import Statistics
from sdd_eval.models.build import build
from sdd_eval.models.network import Network

#: Options of built-in networks that change no weight's name or shape, and their other value.
OTHER_VALUES = {"padding": "both", "newest": "first"}


@dataclass(frozen=True)
class Alternative:
    """A network with the same weights that computes other logits."""

    network: Network
    flags: str
    """The flags of `import` that select it."""
    origin: str = ""
    """Where its constants come from, if these differ."""

    @property
    def text(self) -> str:
        """Return the flags, and the origin in brackets."""
        return self.flags + (f"  ({self.origin})" if self.origin else "")


def with_constants(network: Network, constants: Statistics, origin: str) -> Alternative:
    """Return a network with another mean and standard deviation that shares all layers."""
    mean, std = constants
    spec = replace(network.spec, mean=mean, std=std)
    other = Network(spec, network.backbone, network.classifier, network.head)
    return Alternative(other.eval(), f"--mean {numbers(mean)} --std {numbers(std)}", origin)


def with_other_options(network: Network) -> Iterator[Alternative]:
    """Yield a built-in network with each option that its weights do not reveal, if none is given.

    Public code differs in these options: where option-A shortcuts are padded, and the order in
    which a DenseNet joins its channels.
    """
    spec = network.spec
    builder = None if ":" in spec.arch else plugins.load("models", spec.arch)
    parameters = inspect.signature(builder).parameters if builder else {}
    for name, value in OTHER_VALUES.items():
        if name in parameters and name not in spec.options:
            with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
                other = build(replace(spec, options={**spec.options, name: value}))
            other.load_state_dict(network.state_dict())
            other.eval().requires_grad_(False)
            yield Alternative(other, f"--options {name} {value}")


def numbers(values: Sequence[float]) -> str:
    """Return numbers with four decimal places, as flags have them."""
    return " ".join(f"{value:.4f}" for value in values)
