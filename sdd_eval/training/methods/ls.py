"""Label smoothing (Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.training.methods.distillation_losses import cross_entropy, forward
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import BELOW_1, bounded


@dataclass(frozen=True)
class LabelSmoothing(BaseMethod):
    """Cross-entropy with smoothed labels: a share of each is spread evenly over all classes."""

    mixes: ClassVar[bool] = True

    smoothing: float = bounded(0.1, BELOW_1)
    """Share of each label that is spread evenly over all classes."""

    def losses(self, step: Step) -> Losses:
        """Return the term `smoothed_ce`."""
        logits, activations = forward(step.network, step.batch.pixels)
        smoothed = cross_entropy(logits, step.batch.targets, self.smoothing)
        return Losses({"smoothed_ce": smoothed}, logits, activations)
