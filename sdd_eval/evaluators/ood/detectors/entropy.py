"""The entropy of the softmax, negated.

Source: Macêdo et al. (2021), "Entropic out-of-distribution detection" (there as a score; the
entropy itself is Shannon's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch


@dataclass(frozen=True)
class Entropy:
    """Minus the entropy of the softmax."""

    name: ClassVar[str] = "entropy"
    protocol: ClassVar[str] = "entropy: Σ p log p of the softmax at T = 1 (nats), in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return Σ p log p, (n,); −log(classes) … 0."""
        logs = batch.logits.log_softmax(dim=1)
        return (logs.exp() * logs).sum(dim=1)
