"""The negative free energy of the logits.

Source: Liu, Wang, Owens, Li (2020), "Energy-based out-of-distribution detection".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch


@dataclass(frozen=True)
class Energy:
    """Log of the summed exponentials of the logits."""

    name: ClassVar[str] = "energy"
    protocol: ClassVar[str] = "energy: logsumexp of the logits at T = 1, in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return logsumexp(logits), (n,)."""
        return batch.logits.logsumexp(dim=1)
