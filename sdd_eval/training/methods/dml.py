"""Deep mutual learning (Zhang, Xiang, Hospedales, Lu, CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from sdd_eval import models
from sdd_eval.training.methods.distillation_losses import (
    cross_entropy,
    forward,
    mutual_distillation_loss,
)
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import ABOVE_0, FROM_0, bounded

if TYPE_CHECKING:
    from torch import nn

    from sdd_eval.models.network import Network


@dataclass(frozen=True)
class MutualLearning(BaseMethod):
    """Mutual distillation between two networks of the same architecture; the first is exported.

    ½ (CE₁ + CE₂) + λ_KD · T² · [KL(p₁‖p₂) + KL(p₂‖p₁)] with detached teachers and one optimiser. As
    in the SD-Dropout authors' runs, the SD-Dropout term masks a feature of each network and passes
    both through the following layers of network 1 (its classifier, for position layer4); with
    "plain" it masks the feature of network 1 twice.
    """

    mixes: ClassVar[bool] = True

    kd_weight: float = bounded(1.0, FROM_0)
    """Weight λ_KD of the distillation."""
    kd_temperature: float = bounded(3.0, ABOVE_0)
    """Temperature T of the distillation."""
    sdd: Literal["authors", "plain"] = "authors"
    """SD-Dropout's masks: authors (one on each network's feature) or plain (on network 1's)."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """Return the second network."""
        return {"peer": models.build(network.spec, trust_code=True)}  # as for the first network

    def losses(self, step: Step) -> Losses:
        """Return the terms `ce` of network 1, `peer_ce` of network 2, and `kd`."""
        peer = cast("Network", step.parts["peer"])
        one, first = forward(step.network, step.batch.pixels)
        two, second = forward(peer, step.batch.pixels)
        terms = {
            "ce": cross_entropy(one, step.batch.targets),
            "peer_ce": cross_entropy(two, step.batch.targets),
            "kd": mutual_distillation_loss(one, two, self.kd_temperature),
        }
        weights = {"ce": 0.5, "peer_ce": 0.5, "kd": self.kd_weight}
        others = second if self.sdd == "authors" else None
        return Losses(terms, one, first, others=others, weights=weights)
