"""The interface of a detector, a plugin of `sdd_eval.detectors` that scores batches of images.

A detector is a frozen dataclass with a `name`, a `protocol` (a description of the score) and either
`scores(batch)`, or `fit(training)`, which returns an object with `scores(batch)`. Scores are
float64, higher = more in-distribution: (n,), or (n, columns) for a detector with variants, whose
`places` then gives the axes of each column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.batch import Batch


class Named(Protocol):
    """The attributes that every detector has."""

    @property
    def name(self) -> str:
        """The name of the plugin (a class variable)."""

    @property
    def protocol(self) -> str:
        """Description of the score, shown with every number (a class variable)."""


class Scorer(Protocol):
    """An object that scores images.

    An optional attribute `counts` (name → number) reports counts made during fitting.
    """

    def scores(self, batch: Batch) -> torch.Tensor:
        """Return float64 scores (n,) or (n, columns), higher = more in-distribution."""


def fits(detector: Any) -> bool:
    """Return whether a detector is fitted on training images."""
    return hasattr(detector, "fit")


def places(detector: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the axes of each column of a detector's scores, besides the detector's name."""
    axes: tuple[Mapping[str, Any], ...] = getattr(detector, "places", ({},))
    return axes


def counts(scorer: Any) -> Mapping[str, int]:
    """Return the counts made during fitting, by name."""
    numbers: Mapping[str, int] = getattr(scorer, "counts", {})
    return numbers
