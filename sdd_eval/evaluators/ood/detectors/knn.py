"""The distance to the k-th nearest training feature.

Source: Sun, Ming, Zhu, Li (2022), "Out-of-distribution detection with deep nearest neighbors".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch
    from sdd_eval.evaluators.ood.detectors.training import Training


@dataclass(frozen=True)
class Knn:
    """Minus the distance of the normalised feature to its k-th nearest neighbour, for each k."""

    name: ClassVar[str] = "knn"
    protocol: ClassVar[str] = (
        "KNN: minus the Euclidean distance of the feature (input of the last linear layer, "
        "divided by its norm) to its k-th nearest neighbour among all training images, "
        "unaugmented, eval mode, float64"
    )
    k: tuple[int, ...] = (50, 200)
    """Which neighbours count; 50 is the headline."""

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """One column for each k."""
        return tuple({"k": k} for k in self.k)

    def fit(self, training: Training) -> Neighbours:
        """Keep the training features.

        Raises:
            InputError: there are fewer training images than neighbours.
        """
        import torch

        if not 1 <= min(self.k) <= max(self.k) <= len(training.features):
            raise InputError(
                f"knn asks for neighbours {', '.join(map(str, self.k))}; "
                f"{training.name} has {len(training.features):,} training images"
            )
        norms = torch.cat([features.norm(dim=1) for _, features in training.pieces()])
        return Neighbours(self.k, training, _inverse(norms))


@dataclass(frozen=True)
class Neighbours:
    """All training features, and one over their norms (N,)."""

    k: tuple[int, ...]
    training: Training
    scale: torch.Tensor

    def scores(self, batch: Batch) -> torch.Tensor:
        """Minus the distance to the k-th neighbour, (n, number of k)."""
        import torch

        found = batch.features
        found = found * _inverse(found.norm(dim=1, keepdim=True))
        nearest = self._nearest(found)
        # The product formula ranks well but loses the digits of small distances: take them anew.
        return torch.stack(
            [-(found - self._normalised(nearest[:, k - 1])).norm(dim=1) for k in self.k], dim=1
        )

    def _nearest(self, found: torch.Tensor) -> torch.Tensor:
        """Rows of the max(k) nearest training features, nearest first, (n, max k)."""
        import torch

        best = found.new_empty(len(found), 0)
        which = torch.empty(len(found), 0, dtype=torch.int64, device=found.device)
        for rows, features in self.training.pieces():
            scale = self.scale[rows]
            # |a|² − |a − b|² = 2 a·b − |b|², where |b| is 1, or 0 for a feature of 0.
            likeness = (found @ features.T).mul_(2 * scale).sub_((scale > 0).double())
            numbers = torch.arange(len(features), device=found.device) + rows.start
            best = torch.cat([best, likeness], dim=1)
            which = torch.cat([which, numbers.expand(len(found), -1)], dim=1)
            best, order = best.topk(min(max(self.k), best.shape[1]), dim=1)
            which = which.gather(1, order)
        return which

    def _normalised(self, rows: torch.Tensor) -> torch.Tensor:
        """Training features by row, divided by their norms."""
        return self.training.features[rows].double() * self.scale[rows][:, None]


def _inverse(norms: torch.Tensor) -> torch.Tensor:
    """One over norms; 0 for a norm of 0: such a feature has no direction and stays 0."""
    return (1 / norms).masked_fill(norms == 0, 0)
