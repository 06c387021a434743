"""How well scores tell the test set from sets of outliers, on these images and on resampled ones.

All sets of outliers are measured in the same resamples of the test set, and each in resamples of
its own: so a mean over sets has the interval that their common side gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.metrics.detection import ood_metrics, weighted_metrics
from sdd_eval.statistics.bootstrap import Floats, Weights

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class OfSets:
    """Metrics over each set of outliers; `found` (resamples, sets, metrics) in resamples.

    `images` gives the size of the test set and of each set of outliers.
    """

    metrics: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]
    found: Floats
    images: tuple[int, ...]

    def mean(self, metric: str, members: Sequence[str]) -> float:
        """The mean of a metric over some sets."""
        return float(np.mean([self.values[name][metric] for name in members]))

    def resampled(self, metric: str, members: Sequence[str]) -> Floats:
        """That mean in each resample (resamples,)."""
        sets = [list(self.values).index(name) for name in members]
        means: Floats = self.found[:, sets, self.metrics.index(metric)].mean(axis=1)
        return means

    def sizes(self, name: str) -> str:
        """How many images stand on either side: AUPR by counts depends on it."""
        own = self.images[1 + list(self.values).index(name)]
        return f"{self.images[0]:,} against {own:,} images"


def detector_metrics(
    inside: Scores,
    outside: Mapping[str, Scores],
    columns: Mapping[str, int],
    metrics: Iterable[str],
    intervals: Intervals,
    times: int = 1,
) -> OfSets:
    """Some metrics over each set of outliers, by the column of the scores that is named for it.

    `times` says how often this is done for one table, so that all together stays affordable.
    """
    names = tuple(metrics)
    pairs = {
        name: (_column(inside, columns[name]), _column(scores, columns[name]))
        for name, scores in outside.items()
    }
    values = {name: ood_metrics(*pair) for name, pair in pairs.items()}
    images = (len(inside), *map(len, outside.values()))
    makers = [
        weighted_metrics(
            np.concatenate(pair), np.repeat([1, 0], [len(each) for each in pair]), names
        )
        for pair in pairs.values()
    ]
    ends = list(accumulate(images))

    def quantity(weights: Weights) -> Floats:
        own = weights[:, : ends[0]]
        of_sets = []
        for make, begin, end in zip(makers, ends, ends[1:], strict=False):
            found = make(np.concatenate([own, weights[:, begin:end]], axis=1))
            of_sets.append(np.stack([found[metric] for metric in names], axis=1))
        return np.stack(of_sets, axis=1)

    cost = times * sum(images[0] + each for each in images[1:])
    return OfSets(names, values, intervals.replicates(quantity, images, cost), images)


def _column(scores: Scores, column: int) -> Scores:
    return scores if scores.ndim == 1 else scores[:, column]
