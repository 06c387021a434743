"""The inputs, parts, loss terms and forward passes of a method, found by running one step."""

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

#: Name of the network among the modules that learn.
NETWORK = "network"

#: A small network with all positions, on which methods run.
_SPEC = ModelSpec("resnet18w16", 4, (0.5,) * 3, (0.25,) * 3, 32)


@dataclass(frozen=True)
class MethodSummary:
    """The inputs, training-only parts and loss terms of a method, by name."""

    method: str
    sd_dropout: bool
    inputs: tuple[str, ...]
    parts: tuple[str, ...]
    terms: Mapping[str, tuple[str, ...]]
    """For each term, the modules that learn from it: `NETWORK` and parts."""


def method_summary(method: str, sd_dropout: float = 0.0) -> MethodSummary:
    """Return a method's summary from a step on a small network; raise InputError if unknown."""
    objective = _objective(method, sd_dropout)
    kind = objective.method
    losses = objective(random_batch(objective), generator(0, "declared masks"))
    views = [f"view {i + 1}" for i in range(kind.views)] if kind.views > 1 else ["image"]
    return MethodSummary(
        method=objective.recipe.method,
        sd_dropout=sd_dropout > 0,
        inputs=(*views, *(["same-class partner"] if kind.partners else [])),
        parts=tuple(objective.parts),
        terms={name: _learners(objective, term) for name, term in losses.terms.items()},
    )


def _learners(objective: Objective, term: Tensor) -> tuple[str, ...]:
    """Return the parts that learn from a term; the network if its classifier or no part does."""
    parts = [name for name, part in objective.parts.items() if _reaches(term, part)]
    direct = not parts or _reaches(term, objective.network.classifier)
    return (*([NETWORK] if direct else []), *parts)


def _reaches(term: Tensor, module: nn.Module) -> bool:
    """Return whether any weight of a module gets a gradient from a term."""
    weights = list(module.parameters())
    grads = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in grads)


@dataclass(frozen=True)
class Passes:
    """The passes of a batch's images through a network that a training step needs.

    `learned` passes run forward and backward, `watched` ones forward only: partners teach without
    learning.
    """

    learned: int
    watched: int

    @property
    def relative(self) -> float:
        """Return the cost relative to cross-entropy; backward costs twice as much as forward."""
        return self.learned + self.watched / 3


@functools.cache
def passes_per_step(method: str) -> Passes:
    """Return the passes that views, partners and networks need; raise InputError if unknown."""
    objective = _objective(method)
    networks = 1 + sum(isinstance(part, Network) for part in objective.parts.values())
    return Passes(objective.method.views * networks, int(objective.method.partners))


def random_objective(recipe: Recipe, spec: ModelSpec) -> Objective:
    """Return the objective of a valid recipe in train mode, with the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        seed_global(0, "analysis")
        return Objective(build(spec), method_of(recipe), recipe, recipe.batch_size).train()


def random_batch(objective: Objective, device: str | torch.device = "cpu") -> Batch:
    """Return a batch of random images with the views and partners that the method needs."""
    spec, method, size = objective.network.spec, objective.method, objective.recipe.batch_size
    draws = generator(0, "analysis images")
    shape = (size, spec.channels, spec.image_size, spec.image_size)
    count = method.views + method.partners
    images = [torch.rand(shape, generator=draws).to(device) for _ in range(count)]
    labels = (torch.arange(size) // 2 % spec.classes).to(device)
    partners = images[-1] if method.partners else None
    indices = torch.arange(size, device=device)
    return Batch(tuple(images[: method.views]), labels, partners, indices=indices)


def _objective(method: str, sd_dropout: float = 0.0) -> Objective:
    recipe = Recipe(method=method, sd_dropout=sd_dropout, arch=_SPEC.arch, batch_size=8)
    return random_objective(validated(recipe), _SPEC)
