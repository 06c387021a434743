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

    from sdd_eval.evaluators.ood.detectors.batch import Batch, Training


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
    """Numbers of the neighbours; 50 is the headline."""

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """The axis k of each column."""
        return tuple({"k": k} for k in self.k)

    def fit(self, training: Training) -> Neighbours:
        """Return a scorer with the training features.

        Raises:
            InputError: fewer training images than neighbours.
        """
        import torch

        if not 1 <= min(self.k) <= max(self.k) <= len(training.features):
            raise InputError(
                f"knn needs neighbours {', '.join(map(str, self.k))}; "
                f"{training.name} has {len(training.features):,} training images"
            )
        norms = torch.cat([features.norm(dim=1) for _, features in training.pieces()])
        return Neighbours(self.k, training, _inverse(norms))


@dataclass(frozen=True)
class Neighbours:
    """Training features, and the inverse of their norms (N,)."""

    k: tuple[int, ...]
    training: Training
    scale: torch.Tensor

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return minus the distance to the k-th neighbour, (n, number of k)."""
        import torch

        features = batch.features
        features = features * _inverse(features.norm(dim=1, keepdim=True))
        nearest = self._nearest(features)
        # The product formula ranks well but is inaccurate for small distances: recompute them.
        return torch.stack(
            [-(features - self._normalised(nearest[:, k - 1])).norm(dim=1) for k in self.k], dim=1
        )

    def _nearest(self, queries: torch.Tensor) -> torch.Tensor:
        """Return the rows of the max(k) nearest training features, nearest first, (n, max k)."""
        import torch

        best = queries.new_empty(len(queries), 0)
        which = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
        for rows, features in self.training.pieces():
            scale = self.scale[rows]
            # |a|² − |a − b|² = 2 a·b − |b|², where |b| is 1, or 0 for a feature of 0.
            similarity = (queries @ features.T).mul_(2 * scale).sub_((scale > 0).double())
            numbers = torch.arange(len(features), device=queries.device) + rows.start
            best = torch.cat([best, similarity], dim=1)
            which = torch.cat([which, numbers.expand(len(queries), -1)], dim=1)
            best, order = best.topk(min(max(self.k), best.shape[1]), dim=1)
            which = which.gather(1, order)
        return which

    def _normalised(self, rows: torch.Tensor) -> torch.Tensor:
        """Return training features by row, divided by their norms."""
        return self.training.features[rows].double() * self.scale[rows][:, None]


def _inverse(norms: torch.Tensor) -> torch.Tensor:
    """Return 1 / norm, or 0 for a norm of 0, whose feature has no direction."""
    return (1 / norms).masked_fill(norms == 0, 0)
