"""The confidence penalty (Pereyra, Tucker, Chorowski, Kaiser, Hinton, ICLR workshop 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.training.methods.distillation_losses import forward, log_softmax, nll
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import FROM_0, bounded


@dataclass(frozen=True)
class ConfidencePenalty(BaseMethod):
    """CE − β · H(p): penalises predictions of low entropy.

    "Regularizing Neural Networks by Penalizing Confident Output Distributions", equation 2; β = 0.1
    was best there on CIFAR-10. The entropy is in nats, batch mean.
    """

    mixes: ClassVar[bool] = True

    penalty_weight: float = bounded(0.1, FROM_0)
    """Weight β of the negative entropy."""

    def losses(self, step: Step) -> Losses:
        """Return the terms `ce` and `negative_entropy`."""
        logits, activations = forward(step.network, step.batch.pixels)
        log_p = log_softmax(logits)
        terms = {
            "ce": nll(log_p, step.batch.targets),
            "negative_entropy": (log_p.exp() * log_p).sum(dim=1).mean(),
        }
        return Losses(terms, logits, activations, weights={"negative_entropy": self.penalty_weight})
