"""Dropout on the feature, without distillation: the control of the paper's Table 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sdd_eval.training.methods.distillation_losses import at_least_float32
from sdd_eval.training.methods.method import Losses, Step
from sdd_eval.training.methods.sd_dropout import dropped
from sdd_eval.validation import BELOW_1, FROM_0, bounded

if TYPE_CHECKING:
    from torch import nn

    from sdd_eval.models.network import Network


@dataclass(frozen=True)
class Dropout:
    """Cross-entropy of the logits of the dropped feature, alone or beside the plain one.

    "standard" is CE(dropped). The row of Table 11 with a dagger "equalises the number of training
    steps", and neither paper nor code says how. "equal_steps" is CE(clean) + λ · CE(dropped): our
    choice, because it is the one further dropout loss in the authors' code, and because there, as
    in SD-Dropout, the classifier learns from clean and from dropped features in each step.
    """

    name: ClassVar[str] = "dropout"
    views: ClassVar[int] = 1
    partners: ClassVar[bool] = False

    variant: Literal["standard", "equal_steps"] = "standard"
    """CE(dropped), or CE(clean) + λ CE(dropped): our reading of Table 11's dagger."""
    rate: float = bounded(0.5, BELOW_1)
    """Probability with which a feature is dropped."""
    dropped_weight: float = bounded(1.0, FROM_0)
    """Weight λ of the dropped logits' cross-entropy in "equal_steps"."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """None."""
        return {}

    def losses(self, step: Step) -> Losses:
        """The term `dropped_ce`, and `ce` in "equal_steps"."""
        from torch.nn import functional

        labels = step.batch.labels
        activations = step.network.activations(step.batch.pixels)
        feature = activations["features"]
        masked = dropped(feature, self.rate, step.generator, step.batch.rows)
        logits = at_least_float32(step.network.classify(masked))
        terms = {"dropped_ce": functional.cross_entropy(logits, labels)}
        if self.variant == "standard":
            return Losses(terms, logits, activations)
        clean = at_least_float32(step.network.classify(feature))
        terms = {"ce": functional.cross_entropy(clean, labels), **terms}
        return Losses(terms, clean, activations, weights={"dropped_ce": self.dropped_weight})
