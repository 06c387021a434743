"""R-Drop (Liang et al., "R-Drop: Regularized Dropout for Neural Networks", NeurIPS 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.training.methods.distillation_losses import at_least_float32, log_softmax, nll
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.training.methods.sd_dropout import dropped, symmetric_kl
from sdd_eval.validation import BELOW_1, FROM_0, bounded


@dataclass(frozen=True)
class RDrop(BaseMethod):
    """Cross-entropy of two dropped predictions, and the divergence between them.

    CE₁ + CE₂ + α · ½ [KL(p₁‖p₂) + KL(p₂‖p₁)] at temperature 1 with gradients through both
    (equations 3 to 5). Only the last feature is dropped here, as in SD-Dropout, so the backbone
    runs once for both predictions. SD-Dropout differs: its CE uses the undropped logits and its T
    is 3. α = 0.6 is the original paper's value for images; the drop rate is SD-Dropout's.
    """

    mixes: ClassVar[bool] = True

    consistency_weight: float = bounded(0.6, FROM_0)
    """Weight α of the divergence between the two predictions."""
    rate: float = bounded(0.5, BELOW_1)
    """Drop rate of the feature."""

    def losses(self, step: Step) -> Losses:
        """Return the terms `dropped_ce`, summed over both predictions, and `consistency`."""
        import torch

        activations = step.network.activations(step.batch.pixels)
        feature = activations["features"]
        rows = step.batch.rows
        passes = [dropped(feature, self.rate, step.generator, rows) for _ in range(2)]
        one, two = at_least_float32(step.network.classify(torch.cat(passes))).chunk(2)
        log_one, log_two = log_softmax(one), log_softmax(two)
        ces = [nll(log_p, step.batch.targets) for log_p in (log_one, log_two)]
        terms = {
            "dropped_ce": ces[0] + ces[1],
            "consistency": symmetric_kl(log_one, log_two, "both") / 2,
        }
        weights = {"consistency": self.consistency_weight}
        return Losses(terms, one, activations, weights=weights)
