"""Energy of the logits after large activations are cut off.

Source: Sun, Guo, Li (2021), "ReAct: out-of-distribution detection with rectified activations".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch
    from sdd_eval.evaluators.ood.detectors.training import Training

#: The share of all training activations that stays as it is.
KEPT = 0.9


@dataclass(frozen=True)
class React:
    """Energy after activations are clipped at the 90th percentile of the training ones."""

    name: ClassVar[str] = "react"
    protocol: ClassVar[str] = (
        "ReAct: logsumexp at T = 1 of the logits of min(f, c), f the input of the last linear "
        "layer, c the 90th percentile (linear) of all activations of all training images pooled, "
        "unaugmented, eval mode, float64"
    )

    def fit(self, training: Training) -> Clipped:
        """The threshold, and the last linear layer."""
        return Clipped(threshold(training), training.weight, training.bias)


@dataclass(frozen=True)
class Clipped:
    """Where activations are cut off, and the layer that makes logits of them."""

    above: float
    weight: torch.Tensor
    bias: torch.Tensor

    def scores(self, batch: Batch) -> torch.Tensor:
        """logsumexp(W min(f, c) + b), (n,)."""
        logits = batch.features.clamp(max=self.above) @ self.weight.T + self.bias
        return logits.logsumexp(dim=1)


def threshold(training: Training) -> float:
    """The 90th percentile of all values of the features, interpolated in float64."""
    values = training.features.cpu().numpy().ravel()
    place = KEPT * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    ranked = np.partition(values, (low, high))
    below, above = float(ranked[low]), float(ranked[high])
    return below + (place - low) * (above - below)
