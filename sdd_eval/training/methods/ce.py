"""Cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.training.methods.distillation_losses import cross_entropy, forward
from sdd_eval.training.methods.method import BaseMethod, Losses, Step


@dataclass(frozen=True)
class CrossEntropy(BaseMethod):
    """Cross-entropy with the labels, batch mean: the paper's baseline."""

    mixes: ClassVar[bool] = True

    def losses(self, step: Step) -> Losses:
        """Return the term `ce`."""
        logits, activations = forward(step.network, step.batch.pixels)
        ce = cross_entropy(logits, step.batch.targets)
        return Losses({"ce": ce}, logits, activations)
