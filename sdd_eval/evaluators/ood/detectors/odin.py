"""ODIN: softmax with temperature, after moving the input a step towards the predicted class.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sdd_eval.evaluators import adversarial
from sdd_eval.validation import ABOVE_0, FROM_0, check_bounds

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from sdd_eval.evaluators.batch import Batch

#: Temperatures and step sizes of the grid; the step sizes are those that the original tunes over.
TEMPERATURES = (1.0, 10.0, 100.0, 1000.0)
EPSILONS = (0.0, 0.0014, 0.002, 0.0024, 0.0028)

#: A temperature and a step size.
Cell = tuple[float, float]

STEP = (
    "in pixels of [0, 1] towards the network's own prediction, zero gradient as +1, no clipping; "
    "gradient float32, formed at the logits in float64 without 1 − p; softmax in float64"
)


@dataclass(frozen=True)
class Odin:
    """The maximum softmax probability at a high temperature, after a small step of the input."""

    name: ClassVar[str] = "odin"

    temperature: float = 1000.0
    """Temperature T of the softmax, in the step and in the score."""
    epsilon: float = 0.0028
    """Step size ε, in the pixel range [0, 1]."""

    def __post_init__(self) -> None:
        check_bounds(self, {"temperature": ABOVE_0, "epsilon": FROM_0}, "--")

    @property
    def protocol(self) -> str:
        """Description of the score."""
        return f"ODIN: T = {self.temperature:g}, step of ε = {self.epsilon:g} (L∞) {STEP}"

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """The axes T and ε."""
        return ({"temperature": self.temperature, "epsilon": self.epsilon},)

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return max softmax(f(x − ε sign ∇CE) / T), (n,)."""
        return cells_of(batch, [(self.temperature, self.epsilon)])[:, 0]


@dataclass(frozen=True)
class OdinGrid:
    """ODIN at each temperature and step of a grid."""

    name: ClassVar[str] = "odin_grid"
    protocol: ClassVar[str] = f"ODIN at the T and ε (L∞) of its cell of a grid; step {STEP}"

    cells: tuple[Cell, ...] = tuple((t, e) for t in TEMPERATURES for e in EPSILONS)
    """The temperatures and steps."""

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """The axes of each cell."""
        return tuple({"temperature": t, "epsilon": e, "grid": "cell"} for t, e in self.cells)

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return ODIN's score for each cell, (n, cells)."""
        return cells_of(batch, self.cells)


#: The cells among which validation images choose; mean scores are comparable at one temperature
#: only.
STEPS = OdinGrid(tuple((TEMPERATURES[-1], epsilon) for epsilon in EPSILONS))


def validated_cell(scores: NDArray[np.float64]) -> int:
    """Return the index of the grid cell that is chosen by the mean scores of validation images.

    Source: Hsu et al. (2020), "Generalized ODIN", which uses no OOD images for the choice.
    """
    step = STEPS.cells[int(scores.mean(axis=0).argmax())]
    return OdinGrid().cells.index(step)


def cells_of(batch: Batch, cells: Sequence[Cell]) -> torch.Tensor:
    """Return ODIN's scores (n, cells), with one gradient per temperature and one pass per step."""
    import torch

    stepping = list(dict.fromkeys(temperature for temperature, epsilon in cells if epsilon))
    losses = [(adversarial.stable_loss, temperature) for temperature in stepping]
    gradients = adversarial.input_gradients(batch.model, batch.pixels, losses)
    # As in the original, a gradient of 0 counts as +1 and nothing is clipped.
    signs = {t: torch.where(g >= 0, 1.0, -1.0) for t, g in zip(stepping, gradients, strict=True)}
    scores = []
    for temperature, epsilon in cells:
        if epsilon:
            logits = batch.logits_of(batch.pixels - epsilon * signs[temperature])
        else:
            logits = batch.logits
        # In float32, the scores of thousands of images round to the same number.
        scores.append((logits / temperature).softmax(dim=1).amax(dim=1))
    return torch.stack(scores, dim=1)
