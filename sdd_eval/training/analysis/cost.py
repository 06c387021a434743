"""The measured cost of methods: images per second, memory, parameters.

Methods take turns, so that other load on the machine affects all of them and their rates can be
compared turn by turn; each rate is the median of its turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sdd_eval.device import explain_batch_errors, resolve_device
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.randomness import generator
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.analysis.method_summary import random_batch, random_objective
from sdd_eval.training.arithmetic import arithmetic
from sdd_eval.training.recipe import validated


@dataclass(frozen=True)
class Cost:
    """The cost of one recipe.

    `memory` is in bytes. On a GPU it is the peak allocated by torch; on a CPU it is what a step
    keeps: parameters, gradients, momentum and everything saved for the backward pass. `rates` are
    the images per second of each turn.
    """

    recipe: Recipe
    images_per_second: float
    rates: tuple[float, ...]
    memory: int
    memory_is: str
    trained_parameters: int
    exported_parameters: int


def measure_costs(
    recipes: Sequence[Recipe],
    spec: ModelSpec,
    *,
    steps: int = 2,
    turns: int = 6,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Cost, ...]:
    """Measure the cost of recipes on random images, in `turns` turns of `steps` steps each.

    Raise InputError if a recipe is invalid.
    """
    where, progress = resolve_device(device), progress or NoProgress()
    with explain_batch_errors(max((recipe.batch_size for recipe in recipes), default=1)):
        subjects = [_Subject(validated(recipe), spec, where) for recipe in recipes]
        memory = [subject.memory() for subject in subjects]  # the first step, which also warms up
        progress.start("training steps", turns * len(subjects))
        rates: list[list[float]] = [[] for _ in subjects]
        for _ in range(turns):
            for subject, measured in zip(subjects, rates, strict=True):
                measured.append(subject.rate(steps))
                progress.advance()
    return tuple(
        Cost(
            recipe=subject.recipe,
            images_per_second=statistics.median(measured),
            rates=tuple(measured),
            memory=bytes_used,
            memory_is="peak allocated" if where.type == "cuda" else "kept by a step",
            trained_parameters=_size(subject.objective),
            exported_parameters=_size(subject.objective.network),
        )
        for subject, measured, bytes_used in zip(subjects, rates, memory, strict=True)
    )


class _Subject:
    """A network in training on one random batch."""

    def __init__(self, recipe: Recipe, spec: ModelSpec, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.objective = random_objective(recipe, spec).to(device)
        self.optimiser = torch.optim.SGD(self.objective.parameters(), 1e-3, recipe.momentum)
        self.batch = random_batch(self.objective, device)
        self.draws = generator(0, "cost masks", device=device.type)

    def step(self) -> None:
        """Train one step."""
        self.optimiser.zero_grad(set_to_none=True)
        with arithmetic(self.recipe, self.device):
            losses = self.objective(self.batch, self.draws)
        losses.total.backward()
        self.optimiser.step()

    def rate(self, steps: int) -> float:
        """Return images per second over a number of steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return steps * len(self.batch.labels) / (time.perf_counter() - start)

    def memory(self) -> int:
        """Return the memory of a step in bytes, after waiting for the device."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.step()
            torch.cuda.synchronize(self.device)
            return int(torch.cuda.max_memory_allocated(self.device))
        saved: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.step()
        held = {p.untyped_storage().data_ptr() for p in self.objective.parameters()}
        activations = sum(size for pointer, size in saved.items() if pointer not in held)
        weights = sum(p.numel() * p.element_size() for p in self.objective.parameters())
        return activations + 3 * weights  # value, gradient and momentum


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
