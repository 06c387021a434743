"""ODIN: temperature, and a step of the input towards the network's own prediction.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from sdd_eval.evaluators.ood.detectors.batch import Batch

#: What the grid crosses: steps that the original tunes over, and temperatures up to its own.
TEMPERATURES = (1.0, 10.0, 100.0, 1000.0)
EPSILONS = (0.0, 0.0014, 0.002, 0.0024, 0.0028)

#: A temperature and the size of a step.
Cell = tuple[float, float]

STEP = (
    "in pixels of [0, 1] towards the network's own prediction, zero gradient as +1, no clipping; "
    "gradient float32, formed at the logits in float64 without 1 − p; softmax in float64"
)


@dataclass(frozen=True)
class Odin:
    """The largest softmax probability at a high temperature, after a small step of the input."""

    name: ClassVar[str] = "odin"

    temperature: float = 1000.0
    """Temperature T of the softmax, in the step and in the score."""
    epsilon: float = 0.0028
    """Size ε of the step, in pixels of [0, 1]."""

    def __post_init__(self) -> None:
        """Refuse settings that have no meaning."""
        if not 0 < self.temperature < math.inf:
            raise InputError(f"--temperature is {self.temperature:g}; it must be above 0")
        if not 0 <= self.epsilon < math.inf:
            raise InputError(f"--epsilon is {self.epsilon:g}; it must be 0 or more")

    @property
    def protocol(self) -> str:
        """The score in words."""
        return f"ODIN: T = {self.temperature:g}, step of ε = {self.epsilon:g} (L∞) {STEP}"

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """Where T and ε stand."""
        return ({"temperature": self.temperature, "epsilon": self.epsilon},)

    def scores(self, batch: Batch) -> torch.Tensor:
        """max softmax(f(x − ε sign ∇CE) / T), (n,)."""
        return cells_of(batch, [(self.temperature, self.epsilon)])[:, 0]


@dataclass(frozen=True)
class OdinGrid:
    """ODIN at every temperature and step of a grid."""

    name: ClassVar[str] = "odin_grid"
    protocol: ClassVar[str] = f"ODIN at the T and ε (L∞) of its cell of a grid; step {STEP}"

    cells: tuple[Cell, ...] = tuple((t, e) for t in TEMPERATURES for e in EPSILONS)
    """The temperatures and steps."""

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """Where T and ε of each cell stand."""
        return tuple({"temperature": t, "epsilon": e, "grid": "cell"} for t, e in self.cells)

    def scores(self, batch: Batch) -> torch.Tensor:
        """ODIN's score for each cell, (n, cells)."""
        return cells_of(batch, self.cells)


#: The steps between which validation images choose; mean scores compare at one temperature only.
STEPS = OdinGrid(tuple((TEMPERATURES[-1], epsilon) for epsilon in EPSILONS))


def validated_cell(validation_set: NDArray[np.float64]) -> int:
    """The grid's cell with the step that validation images choose, from their scores (m, steps).

    Hsu et al. (2020), "Generalized ODIN": the mean score is highest, and no outlier is looked at.
    """
    step = STEPS.cells[int(validation_set.mean(axis=0).argmax())]
    return OdinGrid().cells.index(step)


def cells_of(batch: Batch, cells: Sequence[Cell]) -> torch.Tensor:
    """ODIN's scores (n, cells): one gradient a temperature, one forward pass a step."""
    import torch

    from sdd_eval.evaluators.adversarial.gradients import own_prediction_gradients, stable_loss

    stepping = list(dict.fromkeys(temperature for temperature, epsilon in cells if epsilon))
    losses = [(stable_loss, temperature) for temperature in stepping]
    gradients = own_prediction_gradients(batch.model, batch.pixels, losses) if losses else []
    # A gradient of 0 counts as +1, as in the original; nothing is clipped.
    signs = {t: torch.where(g >= 0, 1.0, -1.0) for t, g in zip(stepping, gradients, strict=True)}
    found = []
    for temperature, epsilon in cells:
        if epsilon:
            logits = batch.logits_of(batch.pixels - epsilon * signs[temperature])
        else:
            logits = batch.logits
        # In float32, scores of thousands of images collapse into one number.
        found.append((logits / temperature).softmax(dim=1).amax(dim=1))
    return torch.stack(found, dim=1)
