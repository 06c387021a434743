"""Dropout on the feature, without distillation: the control of the paper's Table 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sdd_eval.training.methods.distillation_losses import at_least_float32, cross_entropy
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.training.methods.sd_dropout import dropped
from sdd_eval.validation import BELOW_1, FROM_0, bounded


@dataclass(frozen=True)
class Dropout(BaseMethod):
    """Cross-entropy with a dropped feature, alone or added to the cross-entropy with the clean one.

    "standard" is CE(dropped). The row of Table 11 marked with a dagger "equalises the number of
    training steps", which neither paper nor code explains. "equal_steps" is CE(clean) + λ ·
    CE(dropped): our choice, because it is the only other dropout loss in the authors' code, and
    because with it, as in SD-Dropout, the classifier learns from clean and dropped features in each
    step.
    """

    mixes: ClassVar[bool] = True

    variant: Literal["standard", "equal_steps"] = "standard"
    """CE(dropped), or CE(clean) + λ CE(dropped): our reading of Table 11's dagger."""
    rate: float = bounded(0.5, BELOW_1)
    """Drop rate of the feature."""
    dropped_weight: float = bounded(1.0, FROM_0)
    """Weight λ of the cross-entropy with the dropped feature in "equal_steps"."""

    def losses(self, step: Step) -> Losses:
        """Return the term `dropped_ce`, and `ce` for "equal_steps"."""
        targets = step.batch.targets
        activations = step.network.activations(step.batch.pixels)
        feature = activations["features"]
        masked = dropped(feature, self.rate, step.generator, step.batch.rows)
        logits = at_least_float32(step.network.classify(masked))
        terms = {"dropped_ce": cross_entropy(logits, targets)}
        if self.variant == "standard":
            return Losses(terms, logits, activations)
        clean = at_least_float32(step.network.classify(feature))
        terms = {"ce": cross_entropy(clean, targets), **terms}
        return Losses(terms, clean, activations, weights={"dropped_ce": self.dropped_weight})
