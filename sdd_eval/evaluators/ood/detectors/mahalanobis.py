"""The distance to the nearest class in the metric of the covariance within classes.

Source: Lee, Lee, Lee, Shin (2018), "A simple unified framework for detecting out-of-distribution
samples and adversarial attacks"; here on the last feature only, without perturbing the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch, Training

#: Eigenvalues below this share of the largest are rounding error.
NEGLIGIBLE = 1e-10


@dataclass(frozen=True)
class Mahalanobis:
    """Minus the squared Mahalanobis distance to the nearest class mean."""

    name: ClassVar[str] = "mahalanobis"
    protocol: ClassVar[str] = (
        "Mahalanobis: −min over classes of (f − μ_c)ᵀ Σ⁺ (f − μ_c), f the input of the last linear "
        "layer, Σ the covariance within classes (divided by N), eigenvalues below 1e-10 of the "
        "largest dropped; fitted on all training images, unaugmented, eval mode, float64"
    )

    def fit(self, training: Training) -> Whitened:
        """Fit the class means and the shared covariance.

        Raises:
            InputError: no labels, or features that do not vary within classes.
        """
        import torch

        means, present = class_means(training)
        labels = training.labels
        assert labels is not None  # class_means has checked that
        values, vectors = torch.linalg.eigh(training.scatter(lambda rows: means[labels[rows]]))
        kept = (values >= NEGLIGIBLE * values[-1]) & (values > 0)
        if not kept.any():
            raise InputError(f"features of {training.name} do not vary within classes")
        whitening = vectors[:, kept] / values[kept].sqrt()
        centre = means[present].mean(dim=0)
        dropped = {"dropped_eigenvalues": int((~kept).sum())}
        return Whitened(whitening, centre, (means[present] - centre) @ whitening, dropped)


@dataclass(frozen=True)
class Whitened:
    """A space in which the scatter within classes is the identity, and the class means there."""

    whitening: torch.Tensor
    centre: torch.Tensor
    means: torch.Tensor
    counts: Mapping[str, int] = field(default_factory=dict)

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return minus the squared distance to the nearest mean, (n,)."""
        import torch

        whitened = (batch.features - self.centre) @ self.whitening
        # Differences: the product formula is inaccurate for small distances.
        distances = torch.cdist(whitened, self.means, compute_mode="donot_use_mm_for_euclid_dist")
        return -distances.amin(dim=1).square()


def class_means(training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class means (classes, width), and which classes have images (classes,).

    Raises:
        InputError: the training set has no labels.
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
