"""Detectors that are fitted on the features of all training images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.batch import Batch, Training

#: Eigenvalues below this fraction of the largest one count as rounding errors, as does a mean
#: residual below this fraction of the mean length.
NEGLIGIBLE = 1e-10


@dataclass(frozen=True)
class Mahalanobis:
    """Negative squared Mahalanobis distance to the nearest class mean, with shared covariance.

    Source: Lee, Lee, Lee, Shin (2018), "A simple unified framework for detecting
    out-of-distribution samples and adversarial attacks"; here on the last features only, without
    perturbing the input.
    """

    name: ClassVar[str] = "mahalanobis"
    protocol: ClassVar[str] = (
        "Mahalanobis: −min over classes of (f − μ_c)ᵀ Σ⁺ (f − μ_c), f the input of the last linear "
        "layer, Σ the covariance within classes (divided by N), eigenvalues below 1e-10 of the "
        "largest dropped; fitted on all training images, unaugmented, eval mode, float64"
    )

    def fit(self, training: Training) -> Whitened:
        """Fit the class means and the shared covariance.

        Raise InputError if labels are missing, or if features do not vary within classes.
        """
        import torch

        means, present = class_means(training)
        labels = training.labels
        assert labels is not None  # class_means has checked that
        values, vectors = torch.linalg.eigh(training.scatter(lambda rows: means[labels[rows]]))
        significant = (values >= NEGLIGIBLE * values[-1]) & (values > 0)
        if not significant.any():
            raise InputError(f"features of {training.name} do not vary within classes")
        whitening = vectors[:, significant] / values[significant].sqrt()
        centre = means[present].mean(dim=0)
        dropped = {"dropped_eigenvalues": int((~significant).sum())}
        return Whitened(whitening, centre, (means[present] - centre) @ whitening, dropped)


@dataclass(frozen=True)
class Whitened:
    """A space in which the scatter within classes is the identity, and the class means there."""

    whitening: torch.Tensor
    centre: torch.Tensor
    means: torch.Tensor
    counts: Mapping[str, int] = field(default_factory=dict)

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return the negative squared distance to the nearest mean, (n,)."""
        import torch

        whitened = (batch.features - self.centre) @ self.whitening
        # Use differences: the product formula is inaccurate for small distances.
        distances = torch.cdist(whitened, self.means, compute_mode="donot_use_mm_for_euclid_dist")
        return -distances.amin(dim=1).square()


def class_means(training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class means (classes, width), and which classes have images (classes,).

    Raise InputError if labels are missing.
    """
    if training.labels is None:
        raise InputError(
            f"the training set of {training.name} has no labels, which mahalanobis needs"
        )
    sizes = training.labels.bincount()
    sums = training.weight.new_zeros(len(sizes), training.features.shape[1])
    for rows, features in training.pieces():
        sums.index_add_(0, training.labels[rows], features)
    return sums / sizes.clamp(min=1)[:, None], sizes > 0


@dataclass(frozen=True)
class Knn:
    """Negative distance of the normalised features to their k-th nearest neighbour, for each k.

    Source: Sun, Ming, Zhu, Li (2022), "Out-of-distribution detection with deep nearest neighbors".
    """

    name: ClassVar[str] = "knn"
    protocol: ClassVar[str] = (
        "KNN: minus the Euclidean distance of the feature (input of the last linear layer, "
        "divided by its norm) to its k-th nearest neighbour among all training images, "
        "unaugmented, eval mode, float64"
    )
    k: tuple[int, ...] = (50, 200)
    """Numbers of neighbours k; 50 is the headline value."""

    @property
    def places(self) -> tuple[Mapping[str, Any], ...]:
        """The axis k of each column."""
        return tuple({"k": k} for k in self.k)

    def fit(self, training: Training) -> Neighbours:
        """Return a scorer with the features; InputError with fewer images than neighbours."""
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
        """Return the negative distance to the k-th neighbour, (n, number of k)."""
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


#: Quantile of all training activations at which activations are clipped.
QUANTILE = 0.9


@dataclass(frozen=True)
class React:
    """Energy after clipping activations at the 90th percentile of the training activations.

    Source: Sun, Guo, Li (2021), "ReAct: out-of-distribution detection with rectified activations".
    """

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


@dataclass(frozen=True)
class Vim:
    """Energy minus α times the residual of the features outside the principal space.

    Source: Wang, Li, Feng, Zhang (2022), "ViM: out-of-distribution with virtual-logit matching".
    """

    name: ClassVar[str] = "vim"
    protocol: ClassVar[str] = (
        "ViM: logsumexp of the logits − α · residual; residual = length of f + W⁺b outside the "
        "first half of the training features' principal directions about −W⁺b, f the input of the "
        "last linear layer (W, b), α = mean largest logit / mean residual over all training "
        "images, unaugmented, eval mode, float64"
    )

    def fit(self, training: Training) -> Residual:
        """Fit the origin, the directions outside the principal space, and α; or InputError."""
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
    """The origin of the features, the directions of the residual, and its weight."""

    origin: torch.Tensor
    outside: torch.Tensor
    alpha: float

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return logsumexp(logits) − α · residual, (n,)."""
        import torch

        residual = torch.linalg.vector_norm((batch.features - self.origin) @ self.outside, dim=1)
        scores: torch.Tensor = batch.logits.logsumexp(dim=1) - self.alpha * residual
        return scores
