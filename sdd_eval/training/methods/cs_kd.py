"""Class-wise self-knowledge distillation (Yun, Park, Lee, Shin, CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.training.methods.distillation_losses import cross_entropy, distillation_loss, forward
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import ABOVE_0, FROM_0, bounded


@dataclass(frozen=True)
class ClasswiseDistillation(BaseMethod):
    """Cross-entropy, and distillation from the prediction for another image of the same class.

    CE + λ_KD · T² · KL(partner‖image). The partners run without gradients but in train mode, in a
    separate pass after the images, so that batch norm computes separate statistics for each. The
    SD-Dropout term is computed on the images.
    """

    partners: ClassVar[bool] = True

    kd_weight: float = bounded(1.0, FROM_0)
    """Weight λ_KD of the distillation."""
    kd_temperature: float = bounded(4.0, ABOVE_0)
    """Temperature T of the distillation."""

    def losses(self, step: Step) -> Losses:
        """Return the terms `ce` and `kd`."""
        import torch

        assert step.batch.partners is not None
        logits, activations = forward(step.network, step.batch.pixels)
        with torch.no_grad():
            partners, _ = forward(step.network, step.batch.partners)
        terms = {
            "ce": cross_entropy(logits, step.batch.labels),
            "kd": distillation_loss(partners, logits, self.kd_temperature),
        }
        return Losses(terms, logits, activations, weights={"kd": self.kd_weight})
