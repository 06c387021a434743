"""The largest softmax probability, the usual baseline.

Source: Hendrycks, Gimpel (2017), "A baseline for detecting misclassified and out-of-distribution
examples in neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch


@dataclass(frozen=True)
class Msp:
    """The largest softmax probability."""

    name: ClassVar[str] = "msp"
    protocol: ClassVar[str] = "MSP: largest softmax probability at T = 1; softmax in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return max softmax(logits), (n,)."""
        return batch.logits.softmax(dim=1).amax(dim=1)
