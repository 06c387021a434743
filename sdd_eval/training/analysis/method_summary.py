"""What a method declares: what it looks at, which parts it adds, which terms its loss has."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.randomness import generator, seed_global
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.objective import Objective
from sdd_eval.training.recipe import method_of, validated

#: The network itself, among those that learn.
NETWORK = "network"

#: A small network with all positions, on which a method is asked.
_SPEC = ModelSpec("resnet18w16", 4, (0.5,) * 3, (0.25,) * 3, 32)


@dataclass(frozen=True)
class MethodSummary:
    """Of a method: inputs, training-only parts, and the terms of its loss, all by name."""

    method: str
    sd_dropout: bool
    inputs: tuple[str, ...]
    parts: tuple[str, ...]
    terms: Mapping[str, tuple[str, ...]]
    """Each with those whose logits, features or own weights learn from it: `NETWORK`, parts."""


def method_summary(method: str, sd_dropout: float = 0.0) -> MethodSummary:
    """Ask a method for its parts, and one step of it for its terms and whom they teach.

    Raises:
        InputError: there is no such method.
    """
    objective = _objective(method, sd_dropout)
    kind = objective.method
    images = [torch.rand(8, 3, 32, 32, generator=generator(0, "declared", i)) for i in range(3)]
    labels = torch.arange(8) // 2
    batch = Batch(tuple(images[: kind.views]), labels, images[2] if kind.partners else None)
    losses = objective(batch, generator(0, "declared masks"))
    views = [f"view {i + 1}" for i in range(kind.views)] if kind.views > 1 else ["image"]
    return MethodSummary(
        method=objective.recipe.method,
        sd_dropout=sd_dropout > 0,
        inputs=(*views, *(["same-class partner"] if kind.partners else [])),
        parts=tuple(objective.parts),
        terms={name: _taught(objective, term) for name, term in losses.terms.items()},
    )


def _taught(objective: Objective, term: Tensor) -> tuple[str, ...]:
    """The parts that get a gradient from a term; the network where it does not come through them.

    That is where its classifier gets one too, or no part does.
    """
    found = [name for name, part in objective.parts.items() if _reaches(term, part)]
    direct = not found or _reaches(term, objective.network.classifier)
    return (*([NETWORK] if direct else []), *found)


def _reaches(term: Tensor, module: nn.Module) -> bool:
    """Whether a term has a gradient at any weight of a module."""
    weights = list(module.parameters())
    grads = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    return any(each is not None for each in grads)


@dataclass(frozen=True)
class Passes:
    """What a step cannot do without, in passes of a batch's images through a network.

    `learned` are forward and backward, `watched` forward only: partners teach, and learn nothing.
    """

    learned: int
    watched: int

    @property
    def relative(self) -> float:
        """Their cost in that of cross-entropy's one pass; a backward pass costs two forward."""
        return self.learned + self.watched / 3


@functools.cache
def passes_per_step(method: str) -> Passes:
    """The passes that follow from views, partners, and the networks among a method's parts.

    Raises:
        InputError: there is no such method.
    """
    objective = _objective(method)
    networks = 1 + sum(isinstance(part, Network) for part in objective.parts.values())
    return Passes(objective.method.views * networks, int(objective.method.partners))


def _objective(method: str, sd_dropout: float = 0.0) -> Objective:
    """The method on a small network, in train mode."""
    recipe = validated(Recipe(method=method, sd_dropout=sd_dropout, arch=_SPEC.arch, batch_size=8))
    with torch.random.fork_rng(devices=[]):
        seed_global(0, "declared")
        return Objective(build(_SPEC), method_of(recipe), recipe).train()
