"""Energy of the logits after activations are clipped.

Source: Sun, Guo, Li (2021), "ReAct: out-of-distribution detection with rectified activations".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch, Training

#: Quantile of all training activations at which activations are clipped.
QUANTILE = 0.9


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
        """Fit the threshold."""
        return Clipped(threshold(training), training.weight, training.bias)


@dataclass(frozen=True)
class Clipped:
    """The threshold, and the last linear layer."""

    threshold: float
    weight: torch.Tensor
    bias: torch.Tensor

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return logsumexp(W min(f, c) + b), (n,)."""
        logits = batch.features.clamp(max=self.threshold) @ self.weight.T + self.bias
        return logits.logsumexp(dim=1)


def threshold(training: Training) -> float:
    """Return the 90th percentile of all feature values, interpolated in float64."""
    values = training.features.cpu().numpy().ravel()
    position = QUANTILE * (len(values) - 1)
    low, high = math.floor(position), math.ceil(position)
    ranked = np.partition(values, (low, high))
    below, above = float(ranked[low]), float(ranked[high])
    return below + (position - low) * (above - below)
