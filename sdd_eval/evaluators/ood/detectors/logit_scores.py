"""Detectors whose score is a function of the logits alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.batch import Batch


@dataclass(frozen=True)
class Msp:
    """The maximum softmax probability, the usual baseline.

    Source: Hendrycks, Gimpel (2017), "A baseline for detecting misclassified and
    out-of-distribution examples in neural networks".
    """

    name: ClassVar[str] = "msp"
    protocol: ClassVar[str] = "MSP: largest softmax probability at T = 1; softmax in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return max softmax(logits), (n,)."""
        return batch.logits.softmax(dim=1).amax(dim=1)


@dataclass(frozen=True)
class MaxLogit:
    """The largest logit.

    Source: Hendrycks et al. (2022), "Scaling out-of-distribution detection for real-world
    settings".
    """

    name: ClassVar[str] = "max_logit"
    protocol: ClassVar[str] = "MaxLogit: largest logit"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return max logits, (n,)."""
        return batch.logits.amax(dim=1)


@dataclass(frozen=True)
class Energy:
    """LogSumExp of the logits, which is the negative free energy.

    Source: Liu, Wang, Owens, Li (2020), "Energy-based out-of-distribution detection".
    """

    name: ClassVar[str] = "energy"
    protocol: ClassVar[str] = "energy: logsumexp of the logits at T = 1, in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return logsumexp(logits), (n,)."""
        return batch.logits.logsumexp(dim=1)


@dataclass(frozen=True)
class Entropy:
    """Negative entropy of the softmax.

    Source: Macêdo et al. (2021), "Entropic out-of-distribution detection" (there as a score; the
    entropy itself is Shannon's).
    """

    name: ClassVar[str] = "entropy"
    protocol: ClassVar[str] = "entropy: Σ p log p of the softmax at T = 1 (nats), in float64"

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return Σ p log p, (n,), between −log(classes) and 0."""
        logs = batch.logits.log_softmax(dim=1)
        return (logs.exp() * logs).sum(dim=1)
