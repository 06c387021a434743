"""Virtual-logit matching: energy minus the residual of the feature outside the principal space.

Source: Wang, Li, Feng, Zhang (2022), "ViM: out-of-distribution with virtual-logit matching".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch, Training

#: A mean residual below this fraction of the mean length is rounding error.
NEGLIGIBLE = 1e-10


@dataclass(frozen=True)
class Vim:
    """Energy minus α times the feature's residual outside the principal space."""

    name: ClassVar[str] = "vim"
    protocol: ClassVar[str] = (
        "ViM: logsumexp of the logits − α · residual; residual = length of f + W⁺b outside the "
        "first half of the training features' principal directions about −W⁺b, f the input of the "
        "last linear layer (W, b), α = mean largest logit / mean residual over all training "
        "images, unaugmented, eval mode, float64"
    )

    def fit(self, training: Training) -> Residual:
        """Fit the origin, the directions outside the principal space, and α.

        Raises:
            InputError: the training features have no residual.
        """
        import torch

        origin = -torch.linalg.pinv(training.weight) @ training.bias
        width, total = len(origin), training.scatter(lambda rows: origin)
        _, vectors = torch.linalg.eigh(total)  # ascending: the principal directions come last
        outside = vectors[:, : width - width // 2]
        lengths = sum(
            torch.linalg.vector_norm((features - origin) @ outside, dim=1).sum()
            for _, features in training.pieces()
        )
        residual = float(lengths) / len(training.features)
        if residual <= NEGLIGIBLE * float(total.trace().sqrt()):
            raise InputError(
                f"the features of {training.name} lie in half of their {width} dimensions; "
                "vim has no residual"
            )
        largest = float(training.logits.double().amax(dim=1).mean())
        return Residual(origin, outside, largest / residual)


@dataclass(frozen=True)
class Residual:
    """The origin of features, the directions of the residual, and its weight."""

    origin: torch.Tensor
    outside: torch.Tensor
    alpha: float

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return logsumexp(logits) − α · residual, (n,)."""
        import torch

        residual = torch.linalg.vector_norm((batch.features - self.origin) @ self.outside, dim=1)
        scores: torch.Tensor = batch.logits.logsumexp(dim=1) - self.alpha * residual
        return scores
