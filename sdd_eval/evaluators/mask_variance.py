"""Variance of the logits across dropout masks, on the test set and on OOD sets.

SD-Dropout trains the network to make the same predictions under different masks. The variance is
computed exactly instead of being sampled: for logits W (f ∘ m) / (1 − β) + b, where each entry of m
is independently zero with probability β, the variance of logit c over masks is β / (1 − β) · Σ_j
(W_cj f_j)².
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, starmap
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sdd_eval.arrays import Array, Arrays
from sdd_eval.data.ood_sets import averages, require_no_average
from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.ood import detectors
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic
from sdd_eval.validation import BELOW_1

if TYPE_CHECKING:
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Subject


#: The variances of a set of images.
_VARIANCES = ("mask_variance", "mask_variance_relative")
#: Their ratios of an OOD set to the test set.
_RATIOS = ("mask_variance_ratio", "mask_variance_relative_ratio")


@dataclass(frozen=True)
class MaskVariance(Evaluator):
    """Variance of the logits over dropout masks, in and out of distribution."""

    name: ClassVar[str] = "mask_variance"
    version: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("mask_variance", "mask_variance_relative")

    outliers: tuple[str, ...] = collects((), loads="images")
    """OOD sets, or groups of them (near, far, paper); default: those usual for the test set."""
    drop_rate: float = scores(0.5, bound=BELOW_1)
    """Probability β of dropping a feature; the others are scaled by 1 / (1 − β)."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `squares` and `spread` (images,) float64 for the test set and for each OOD set.

        `squares` is the mean over classes of Σ_j (W_cj f_j)², `spread` the variance of the logits
        over classes. Arrays of an OOD set have the coordinate `outliers`, its name. The fact
        `averages` holds the sets of each average over OOD sets.

        Raises:
            InputError: the network does not end in a linear layer, or there is no OOD set.
        """
        if not self.outliers:
            raise InputError("--outliers is empty; name one or more sets of images")
        require_no_average(self.outliers)
        arrays = _collected(subject, subject.data)
        for name in self.outliers:
            arrays |= _collected(subject, subject.sets[name]).at(outliers=name)
        return arrays | Arrays(averages=averages(self.outliers, subject.data.name))

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the variances of each set, and their ratios.

        `mask_variance` (logits squared); `mask_variance_relative`, divided by the variance of the
        logits over classes, so that it does not depend on their scale; and, for each OOD set and
        each average over sets, the ratios of both to the test set, `mask_variance_ratio` and
        `mask_variance_relative_ratio`.
        """
        names = ["", *arrays.coordinates("outliers")]
        sets = [self._terms(arrays.where(outliers=name) if name else arrays) for name in names]
        sizes, sums = list(map(len, sets)), np.concatenate([terms.sum(axis=0) for terms in sets])
        groups = {name: [name] for name in names[1:]} | arrays.facts.get("averages", {})
        columns = [[names.index(name) for name in of_group] for of_group in groups.values()]
        rows = [(m, name, [name]) for m in _VARIANCES for name in names]
        rows += [(m, label, of_group) for m in _RATIOS for label, of_group in groups.items()]

        def numbers(sums: Floats) -> Floats:
            variance, scaled, known = np.moveaxis(sums.reshape(len(sums), -1, 3), -1, 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                of_sets = [variance / sizes, scaled / known]
                ratios = [values / values[:, :1] for values in of_sets]
            means = (r[:, c].mean(axis=1, keepdims=True) for r in ratios for c in columns)
            return np.concatenate([*of_sets, *means], axis=1)

        defined = np.isfinite(numbers(sums[None])[0])

        def finish(sums: Floats) -> Floats:
            return numbers(sums)[:, defined]

        def make_sums() -> SumStatistic:
            columns = np.zeros((sum(sizes), len(sums)), dtype=np.float32)
            blocks = zip(np.split(columns, np.cumsum(sizes)[:-1]), sets, strict=True)
            for index, (rows, terms) in enumerate(blocks):
                rows[:, 3 * index : 3 * index + 3] = terms
            return SumStatistic(columns, finish, tuple(sizes))

        values = finish(sums[None])[0]
        yield Statistic(
            quantities=tuple(starmap(self._quantity, compress(rows, defined))),
            values=values,
            make_sums=make_sums,
            highest=math.inf,
        )

    def _quantity(self, metric: str, label: str, sets: Sequence[str]) -> Quantity:
        """Return a number for a set or an average over sets; the test set's label is empty."""
        at = {"drop_rate": self.drop_rate, **({"outliers": label} if label else {})}
        relative = "divided by the variance of the logits over classes, image by image"
        over = f"mean of {' and of '.join(sets)} over mean of the test set"
        what = {
            "mask_variance": "",
            "mask_variance_relative": relative,
            "mask_variance_ratio": over,
            "mask_variance_relative_ratio": f"{over}, each {relative}",
        }
        protocol = {
            "dropout": f"dropout β = {self.drop_rate:g}, scaled by 1 / (1 − β), on what the last "
            "linear layer takes",
            "definition": "exact variance over masks, mean over classes and images",
            "relative": what[metric],
        }
        return Quantity(metric, "number", at, protocol)

    def _terms(self, arrays: Arrays) -> Floats:
        """Return variance, relative variance and whether it is defined, for each image (n, 3)."""
        variance = arrays["squares"] * self.drop_rate / (1 - self.drop_rate)
        spread = arrays["spread"]
        relative = np.divide(variance, spread, out=np.zeros(len(variance)), where=spread > 0)
        return np.stack([variance, relative, spread > 0], axis=1)


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
    values = {"squares": squares, "spread": spread}
    return Arrays(Array(name, np.concatenate(parts)) for name, parts in values.items())
