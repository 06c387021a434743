"""Deep mutual learning (Zhang, Xiang, Hospedales, Lu, CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from sdd_eval.training.methods.distillation_losses import forward, mutual_distillation_loss
from sdd_eval.training.methods.method import Losses, Step
from sdd_eval.validation import ABOVE_0, FROM_0, bounded

if TYPE_CHECKING:
    from torch import nn

    from sdd_eval.models.network import Network


@dataclass(frozen=True)
class MutualLearning:
    """Two networks of one shape, other initial weights, that teach each other; the first stays.

    ½ (CE₁ + CE₂) + λ_KD · T² · [KL(p₁‖p₂) + KL(p₂‖p₁)], teachers without gradient; one optimiser.
    As the authors of SD-Dropout ran it, its term has one mask on network 1's feature, one on
    network 2's, and sends both through network 1's layers behind (its classifier, for position
    layer4); "plain" has both on network 1's.
    """

    name: ClassVar[str] = "dml"
    views: ClassVar[int] = 1
    partners: ClassVar[bool] = False

    kd_weight: float = bounded(1.0, FROM_0)
    """Weight λ_KD of the distillation."""
    kd_temperature: float = bounded(3.0, ABOVE_0)
    """Temperature T of the distillation."""
    sdd: Literal["authors", "plain"] = "authors"
    """SD-Dropout's masks: authors (one on each network's feature) or plain (on network 1's)."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """The second network."""
        from sdd_eval.models.build import build

        return {"peer": build(network.spec, trust_code=True)}  # the first one was built of it

    def losses(self, step: Step) -> Losses:
        """The terms `ce` of network 1, `peer_ce` of network 2, and `kd`."""
        from torch.nn import functional

        peer = cast("Network", step.parts["peer"])
        one, first = forward(step.network, step.batch.pixels)
        two, second = forward(peer, step.batch.pixels)
        terms = {
            "ce": functional.cross_entropy(one, step.batch.labels),
            "peer_ce": functional.cross_entropy(two, step.batch.labels),
            "kd": mutual_distillation_loss(one, two, self.kd_temperature),
        }
        weights = {"ce": 0.5, "peer_ce": 0.5, "kd": self.kd_weight}
        others = second if self.sdd == "authors" else None
        return Losses(terms, one, first, others=others, weights=weights)
