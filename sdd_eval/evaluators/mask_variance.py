"""How far do a dropout mask's chances move the logits, on the test set and on what is foreign?

Lee, Park, Seo, Kang say of SD-Dropout that it makes predictions under different masks agree; no
table of theirs shows it. Here it is computed and not sampled: for logits W (f ∘ m) / (1 − β) + b
with each m independent and zero with probability β, the variance of logit c over masks is
β / (1 − β) · Σ_j (W_cj f_j)².
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, beside
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Arrays, Subject

#: What the arrays of a set are called; those of outliers have "_NAME" after it.
SQUARES, SPREAD = "squares", "spread"


@dataclass(frozen=True)
class MaskVariance:
    """The variance of the logits over dropout masks on the last feature, inside and outside."""

    name: ClassVar[str] = "mask_variance"
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("mask_variance", "mask_variance_relative")

    outliers: tuple[str, ...] = collects((), loads="images")
    """Sets of outliers, or groups of them (near, far, paper); default: the usual for the test."""
    drop: float = scores(0.5)
    """Probability β with which a mask drops a feature; the rest is scaled by 1 / (1 − β)."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals beside the numbers are made."""

    def collect(self, subject: Subject) -> Arrays:
        """`squares` (n,): mean over classes of Σ_j (W_cj f_j)²; `spread` (n,): the variance of the
        logits over classes; and `…_NAME` of each set of outliers, all float64.

        Raises:
            InputError: the logits do not come straight out of a linear layer, or no outliers.
        """
        if not self.outliers:
            raise InputError("--outliers is empty; name at least one set of images")
        found = _looked_at(subject, subject.data)
        for name in self.outliers:
            of_set = _looked_at(subject, subject.sets[name])
            found |= {f"{key}_{name}": array for key, array in of_set.items()}
        return found

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """`mask_variance` (logits squared), `mask_variance_relative` (over the logits' own variance
        across classes, so that networks with larger logits compare), and of each set of outliers
        `mask_variance_ratio`, how many times the test set's.

        Raises:
            InputError: a drop rate that is not within [0, 1).
        """
        if not 0 <= self.drop < 1:
            raise InputError(f"--drop is {self.drop:g}; it must be 0 or more and below 1")
        names = [key.removeprefix(f"{SQUARES}_") for key in arrays if key.startswith(f"{SQUARES}_")]
        found = list(self._of_set(arrays, ""))
        inside = found[0].value
        for name in names:
            rows = list(self._of_set(arrays, name))
            found += rows
            if inside > 0:
                ratio = rows[0].value / inside
                text = f"{self._protocol()}; mean of {name} over mean of the test set"
                found.append(Measurement("mask_variance_ratio", ratio, "number", rows[0].at, text))
        return found

    def _protocol(self) -> str:
        return (
            f"dropout β = {self.drop:g}, scaled by 1 / (1 − β), on what the last linear layer "
            "takes; exact variance over masks, mean over classes and images"
        )

    def _of_set(self, arrays: Mapping[str, NDArray[Any]], name: str) -> Iterator[Measurement]:
        """Both variances of a set, with the bootstrap interval over its images."""
        end = f"_{name}" if name else ""
        at = {"drop": self.drop, **({"outliers": name} if name else {})}
        variance = arrays[f"{SQUARES}{end}"] * self.drop / (1 - self.drop)
        spread = arrays[f"{SPREAD}{end}"]
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
        return beside(number, self.intervals.mean(values))


def _looked_at(subject: Subject, images: ImageSet) -> Arrays:
    """What one pass over a set gives."""
    from sdd_eval.models.features import last_linear

    last = last_linear(subject.model)
    if last is None:
        raise InputError("the network has no linear layer whose input a mask could fall on")
    squared = last.weight.detach().double().square().mean(dim=0)
    total = len(subject.indices(images))
    subject.progress.start(images.name, total)
    squares, spread = [], []
    for batch in subject.batches(images):
        squares.append((batch.features.square() @ squared).cpu().numpy())
        spread.append(batch.logits.var(dim=1, unbiased=False).cpu().numpy())
        subject.progress.advance(len(squares[-1]))
    return {SQUARES: np.concatenate(squares), SPREAD: np.concatenate(spread)}
