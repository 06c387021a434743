"""What a detector is: a plugin of `sdd_eval.detectors` that scores a batch of images.

A frozen dataclass with a `name`, a `protocol` (what the score is, in words) and either
`scores(batch)`, or `fit(training)`, which returns something with `scores(batch)`. Scores are
float64, higher = more in-distribution: (n,), or (n, columns) where a detector has several variants;
then its `places` says of each column where in the results it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.ood.detectors.batch import Batch
    from sdd_eval.evaluators.ood.detectors.training import Training


class Named(Protocol):
    """What every detector has."""

    @property
    def name(self) -> str:
        """The plugin's name, without "." and ":" (a class variable)."""

    @property
    def protocol(self) -> str:
        """What the score is, in words that stand beside every number (a class variable)."""


@runtime_checkable
class Scores(Protocol):
    """Something that scores images.

    Where fitting counted something that a reader must know, `counts` (name → number) says it.
    """

    def scores(self, batch: Batch) -> torch.Tensor:
        """Float64 scores (n,) or (n, columns) of a batch, higher = more in-distribution."""


@runtime_checkable
class Fits(Protocol):
    """A detector that looks at all training images first."""

    def fit(self, training: Training) -> Scores:
        """What scores images, once it has seen the training images."""


def fits(detector: Any) -> bool:
    """Whether a detector looks at training images."""
    return isinstance(detector, Fits)


def places(detector: Any) -> tuple[Mapping[str, Any], ...]:
    """Where each column of a detector's scores belongs, besides the detector's name."""
    found: tuple[Mapping[str, Any], ...] = getattr(detector, "places", ({},))
    return found


def counts(scorer: Any) -> Mapping[str, int]:
    """What fitting counted, by name."""
    found: Mapping[str, int] = getattr(scorer, "counts", {})
    return found
