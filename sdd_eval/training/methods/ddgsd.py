"""Data-distortion guided self-distillation (Xu and Liu, AAAI 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sdd_eval.training.distributed.shard import batch_mean
from sdd_eval.training.methods.distillation_losses import (
    at_least_float32,
    cross_entropy,
    forward,
    mutual_distillation_loss,
)
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import ABOVE_0, FROM_0, bounded


@dataclass(frozen=True)
class DistortionGuided(BaseMethod):
    """Mutual distillation between two augmented views of each image.

    CE of both views, summed + λ_KD · T² · [KL(p₁‖p₂) + KL(p₂‖p₁)] with detached teachers
    + 0.005 · ‖mean f₁ − mean f₂‖² of the features' batch means. Both views run in one forward pass,
    so batch norm computes its statistics over both together.
    """

    views: ClassVar[int] = 2

    kd_weight: float = bounded(1.0, FROM_0)
    """Weight λ_KD of the distillation."""
    kd_temperature: float = bounded(3.0, ABOVE_0)
    """Temperature T of the distillation."""
    mmd_weight: float = bounded(0.005, FROM_0)
    """Weight of the squared distance between the two views' mean features."""
    sdd: Literal["authors", "plain"] = "authors"
    """SD-Dropout's masks: authors (one on each view, as the paper ran it) or plain (on view 1)."""

    def losses(self, step: Step) -> Losses:
        """Return the terms `ce`, `kd` and `mmd`."""
        import torch

        logits, activations = forward(step.network, torch.cat(step.batch.views))
        one, two = logits.chunk(2)
        first, second = (
            {name: seen.chunk(2)[view] for name, seen in activations.items()} for view in (0, 1)
        )
        ces = [cross_entropy(view, step.batch.labels) for view in (one, two)]
        rows = step.batch.rows
        means = [batch_mean(at_least_float32(seen["features"]), rows) for seen in (first, second)]
        terms = {
            "ce": ces[0] + ces[1],
            "kd": mutual_distillation_loss(one, two, self.kd_temperature),
            "mmd": (means[0] - means[1]).square().sum(),
        }
        weights = {"kd": self.kd_weight, "mmd": self.mmd_weight}
        others = second if self.sdd == "authors" else None
        return Losses(terms, one, first, others=others, weights=weights)
