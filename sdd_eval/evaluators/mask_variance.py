"""Variance of the logits over dropout masks, on the test set and on OOD sets.

SD-Dropout trains predictions under different masks to agree. The variance is computed exactly
instead of being sampled: for logits W (f ∘ m) / (1 − β) + b, where each entry of m is independently
zero with probability β, the variance of logit c over masks is β / (1 − β) · Σ_j (W_cj f_j)².
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, with_interval
from sdd_eval.evaluators.ood import detectors
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.records import Measurement
from sdd_eval.validation import BELOW_1, check_bounds

if TYPE_CHECKING:
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Arrays, Subject

#: The arrays of the test set; those of an OOD set end in "_NAME".
SQUARES, SPREAD = "squares", "spread"


@dataclass(frozen=True)
class MaskVariance:
    """Variance of the logits over dropout masks on the last feature, in and out of distribution."""

    name: ClassVar[str] = "mask_variance"
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("mask_variance", "mask_variance_relative")

    outliers: tuple[str, ...] = collects((), loads="images")
    """OOD sets, or groups of them (near, far, paper); default: those usual for the test set."""
    drop: float = scores(0.5)
    """Probability β of dropping a feature; the others are scaled by 1 / (1 − β)."""
    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    def __post_init__(self) -> None:
        """Raise InputError for a drop rate outside [0, 1)."""
        check_bounds(self, {"drop": BELOW_1}, "--")

    def collect(self, subject: Subject) -> Arrays:
        """Return per-image values (n,) float64 of the test set and, as `…_NAME`, of each OOD set.

        `squares` is the mean over classes of Σ_j (W_cj f_j)², `spread` the variance of the logits
        over classes.

        Raises:
            InputError: the network does not end in a linear layer, or there is no OOD set.
        """
        if not self.outliers:
            raise InputError("--outliers is empty; name one or more sets of images")
        arrays = _collected(subject, subject.data)
        for name in self.outliers:
            of_set = _collected(subject, subject.sets[name])
            arrays |= {f"{key}_{name}": array for key, array in of_set.items()}
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Return the variances of each set, and their ratios.

        `mask_variance` (logits squared); `mask_variance_relative`, divided by the variance of the
        logits over classes, so that it does not depend on their scale; and of each OOD set
        `mask_variance_ratio`, the ratio to the test set.
        """
        names = [key.removeprefix(f"{SQUARES}_") for key in arrays if key.startswith(f"{SQUARES}_")]
        rows = list(self._of_set(arrays, ""))
        inside = rows[0].value
        for name in names:
            outside = list(self._of_set(arrays, name))
            rows += outside
            if inside > 0:
                ratio, at = outside[0].value / inside, outside[0].at
                text = f"{self._protocol()}; mean of {name} over mean of the test set"
                rows.append(Measurement("mask_variance_ratio", ratio, "number", at, text))
        return rows

    def _protocol(self) -> str:
        return (
            f"dropout β = {self.drop:g}, scaled by 1 / (1 − β), on what the last linear layer "
            "takes; exact variance over masks, mean over classes and images"
        )

    def _of_set(self, arrays: Mapping[str, NDArray[Any]], name: str) -> Iterator[Measurement]:
        """Yield both variances of a set, with bootstrap intervals over its images."""
        suffix = f"_{name}" if name else ""
        at = {"drop": self.drop, **({"outliers": name} if name else {})}
        variance = arrays[f"{SQUARES}{suffix}"] * self.drop / (1 - self.drop)
        spread = arrays[f"{SPREAD}{suffix}"]
        yield self._mean("mask_variance", variance, "number", at, "")
        known = spread > 0
        if known.any():
            relative = variance[known] / spread[known]
            text = "; divided by the variance of the logits over classes, image by image"
            yield self._mean("mask_variance_relative", relative, "number", at, text)

    def _mean(
        self, metric: str, values: NDArray[Any], unit: str, at: dict[str, Any], more: str
    ) -> Measurement:
        number = Measurement(metric, float(values.mean()), unit, at, self._protocol() + more)
        return with_interval(number, self.intervals.mean(values))


def _collected(subject: Subject, images: ImageSet) -> Arrays:
    last = detectors.last_layer(subject.model)
    squared = last.weight.detach().double().square().mean(dim=0)
    total = len(subject.indices(images))
    subject.progress.start(images.name, total)
    squares, spread = [], []
    for batch in subject.batches(images):
        squares.append((batch.features.square() @ squared).cpu().numpy())
        spread.append(batch.logits.var(dim=1, unbiased=False).cpu().numpy())
        subject.progress.advance(len(squares[-1]))
    return {SQUARES: np.concatenate(squares), SPREAD: np.concatenate(spread)}
