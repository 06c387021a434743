"""The largest logit.

Source: Hendrycks et al. (2022), "Scaling out-of-distribution detection for real-world settings".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch


@dataclass(frozen=True)
class MaxLogit:
    """The largest logit."""

    name: ClassVar[str] = "max_logit"
    protocol: ClassVar[str] = "MaxLogit: largest logit"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return max logits, (n,)."""
        return batch.logits.amax(dim=1)
