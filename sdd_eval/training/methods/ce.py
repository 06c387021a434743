"""Cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdd_eval.training.methods.distillation_losses import forward
from sdd_eval.training.methods.method import Losses, Step

if TYPE_CHECKING:
    from torch import nn

    from sdd_eval.models.network import Network


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with the labels, batch mean: the paper's baseline."""

    name: ClassVar[str] = "ce"
    views: ClassVar[int] = 1
    partners: ClassVar[bool] = False

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """Return no parts."""
        return {}

    def losses(self, step: Step) -> Losses:
        """Return the term `ce`."""
        from torch.nn import functional

        logits, activations = forward(step.network, step.batch.pixels)
        ce = functional.cross_entropy(logits, step.batch.labels)
        return Losses({"ce": ce}, logits, activations)
