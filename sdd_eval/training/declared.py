"""What a method declares: what it looks at, which parts it adds, which terms its loss has."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sdd_eval.models.build import build
from sdd_eval.randomness import generator
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.objective import Objective
from sdd_eval.training.recipes import checked, method_of
from sdd_eval.training.surroundings import seed_layers

#: A small network with all positions, on which a method is asked.
_SPEC = ModelSpec("resnet18w16", 4, (0.5,) * 3, (0.25,) * 3, 32)


@dataclass(frozen=True)
class Declared:
    """Of a method: inputs, training-only parts, and the terms of its loss, all by name."""

    method: str
    sd_dropout: bool
    inputs: tuple[str, ...]
    parts: tuple[str, ...]
    terms: tuple[str, ...]


def declared(method: str, sd_dropout: float = 0.0) -> Declared:
    """Ask a method for its parts, and one step of it for its terms.

    Raises:
        InputError: there is no such method.
    """
    recipe = checked(Recipe(method=method, sd_dropout=sd_dropout, arch=_SPEC.arch, batch_size=8))
    with torch.random.fork_rng(devices=[]):
        seed_layers(0, "declared")
        objective = Objective(build(_SPEC), method_of(recipe), recipe).train()
    kind = objective.method
    images = [torch.rand(8, 3, 32, 32, generator=generator(0, "declared", i)) for i in range(3)]
    labels = torch.arange(8) // 2
    batch = Batch(tuple(images[: kind.views]), labels, images[2] if kind.partners else None)
    losses = objective(batch, generator(0, "declared masks"))
    views = [f"view {i + 1}" for i in range(kind.views)] if kind.views > 1 else ["image"]
    return Declared(
        method=recipe.method,
        sd_dropout=sd_dropout > 0,
        inputs=(*views, *(["same-class partner"] if kind.partners else [])),
        parts=tuple(objective.parts),
        terms=tuple(losses.terms),
    )
