"""Be your own teacher (Zhang, Song, Gao, Chen, Bao, Ma, ICCV 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdd_eval import training
from sdd_eval.training.methods.distillation_losses import at_least_float32, forward, kl, log_softmax
from sdd_eval.training.methods.method import BaseMethod, Losses, Step
from sdd_eval.validation import ABOVE_0, BELOW_1, FROM_0, bounded

if TYPE_CHECKING:
    from torch import nn

    from sdd_eval.models.network import Network


@dataclass(frozen=True)
class OwnTeacher(BaseMethod):
    """Branches after layer1, layer2 and layer3 learn from the labels and from the network's output.

    CE + λ_KD · (0.9 Σ CEᵢ + 0.1 · T² Σ KL(output‖i) + 1e-6 Σ MSE(featureᵢ, feature)), the network's
    output and feature detached. The branches are not exported.
    """

    mixes: ClassVar[bool] = True

    kd_weight: float = bounded(0.1, FROM_0)
    """Weight λ_KD of everything the branches learn; the paper's Table 1 used 0.1."""
    kd_share: float = bounded(0.1, BELOW_1)
    """Share of the network's output, as opposed to the labels, in the loss of a branch."""
    kd_temperature: float = bounded(3.0, ABOVE_0)
    """Temperature T of the distillation."""
    feature_weight: float = bounded(1e-6, FROM_0)
    """Weight of the mean squared distance between a branch's feature and the network's."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """Return a branch for each of the three layers; raise InputError if one is missing."""
        return dict(training.branches(network))

    def losses(self, step: Step) -> Losses:
        """Return the terms `ce`, and `branch_ce`, `kd` and `features` summed over the branches."""
        from torch.nn import functional

        targets = step.batch.targets
        logits, activations = forward(step.network, step.batch.pixels)
        target = at_least_float32(activations["features"]).detach()
        reference = log_softmax(logits.detach(), self.kd_temperature)
        terms = {"ce": functional.cross_entropy(logits, targets)}
        for layer, branch in step.parts.items():
            feature, branch_logits = map(at_least_float32, branch(activations[layer]))
            learned = kl(reference, log_softmax(branch_logits, self.kd_temperature))
            of_branch = {
                "branch_ce": functional.cross_entropy(branch_logits, targets),
                "kd": self.kd_temperature**2 * learned,
                "features": functional.mse_loss(feature, target),
            }
            for name, loss in of_branch.items():
                terms[name] = terms[name] + loss if name in terms else loss
        weights = {
            "branch_ce": self.kd_weight * (1 - self.kd_share),
            "kd": self.kd_weight * self.kd_share,
            "features": self.kd_weight * self.feature_weight,
        }
        return Losses(terms, logits, activations, weights=weights)
