"""Rankings as statistics: the value, interval and paired test of each metric share one definition.

Scores of two networks are comparable only as ranks within a network (Venkatraman, Begg 1996), so
the sums in the paired test are numbers of images by rank. A network with more than `MAX_RANKS`
distinct scores gets that many ranks with equal numbers of images, which changes a metric by about 1
in 1,000. Intervals are those of `statistics.closed_form.ranking`, computed from the scores
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.ranking import METRICS, OperatingPoints, ood_metrics, ranking_metrics
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.closed_form import ranking
from sdd_eval.statistics.closed_form.share import Bounds
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: The largest number of distinct ranks.
MAX_RANKS = 1024
#: The default metrics of the families, tested separately because the others take longer.
COMMON_METRICS = ("auroc", "fpr_at_95_tpr")
OTHER_METRICS = tuple(name for name in METRICS if name not in COMMON_METRICS)

Scores = NDArray[np.float64]
#: Maps scores of inliers, scores of outliers and a `level` to bounds, or to why there are none.
PairBounds = Callable[..., Bounds | str]

AUROC = "Wilson interval, effective number of images by DeLong's variance"
THRESHOLD = "Wilson interval at the threshold and order statistics that bound it, square-and-add"
ERROR = "Wilson intervals of misses and false alarms, square-and-add; optimism by the bootstrap"
PRECISION = "Wilson band of one side's ranks, influence function of the other's, square-and-add"


def _with_outliers_positive(bounds: PairBounds) -> PairBounds:
    return lambda inliers, outliers, level: bounds(-outliers, -inliers, level=level)


_BY_COUNTS = partial(ranking.average_precision, prevalence_free=False)
#: Interval and method of each metric except the AUROC.
INTERVALS: Mapping[str, tuple[PairBounds, str]] = {
    "fpr_at_95_tpr": (ranking.fpr_at_tpr, THRESHOLD),
    "fpr_at_95_tpr_out": (_with_outliers_positive(ranking.fpr_at_tpr), THRESHOLD),
    "detection_error": (ranking.detection_error, ERROR),
    "detection_error_by_counts": (partial(ranking.detection_error, by_counts=True), ERROR),
    "aupr_in": (_BY_COUNTS, PRECISION),
    "aupr_out": (_with_outliers_positive(_BY_COUNTS), PRECISION),
    "aupr_in_prevalence_free": (ranking.average_precision, PRECISION),
    "aupr_out_prevalence_free": (_with_outliers_positive(ranking.average_precision), PRECISION),
}


def ranks(scores: Scores) -> NDArray[np.int64]:
    """Return ranks (n,) below `MAX_RANKS`; equal scores have equal ranks.

    >>> ranks(np.array([0.5, 0.1, 0.5, 2.0])).tolist()
    [1, 0, 1, 2]
    """
    _, inverse = np.unique(scores, return_inverse=True)
    dense: NDArray[np.int64] = inverse.reshape(-1)
    if dense.max() < MAX_RANKS:
        return dense
    return np.searchsorted(np.sort(dense), dense) * MAX_RANKS // len(dense)


def rank_columns(scores: Scores, group: NDArray[np.int64], groups: int) -> Any:
    """Return each image's rank in its group, one-hot, as a sparse matrix (n, groups · ranks).

    The scores (n,) of all groups are ranked together; `group` (n,) is the group of each image.
    """
    from scipy.sparse import csr_matrix  # imported here because scipy takes a second to load

    n = len(scores)
    width = min(MAX_RANKS, n)  # the same for all networks
    ones = np.ones(n, dtype=np.float32)
    rows = (ones, ranks(scores) + width * group, np.arange(n + 1))
    return csr_matrix(rows, shape=(n, groups * width))


def accepted_counts(sums: Floats, groups: int) -> Floats:
    """Return the number of images (k, groups, ranks + 1) above each rank, from none to all."""
    counts = sums.reshape(len(sums), groups, -1)
    accepted = np.zeros((len(sums), groups, counts.shape[-1] + 1))
    np.cumsum(counts[..., ::-1], axis=-1, out=accepted[..., 1:])
    return accepted


def mean_of_ends(bounds: Sequence[Bounds | str]) -> Bounds | str:
    """Return the interval of a mean of numbers that are based on shared images.

    Its ends are the means of their ends. This is square-and-add for fully correlated numbers, which
    gives the widest interval for any correlation. If one of them has no interval, the mean has none
    for the same reason.

    >>> mean_of_ends([Bounds(0.125, 0.0, 0.25), Bounds(0.375, 0.25, 0.75)])[:3]
    (0.25, 0.125, 0.5)
    >>> mean_of_ends([Bounds(0.1, 0.0, 0.2), "too few"])
    'too few'
    """
    known = []
    for one in bounds:
        if isinstance(one, str):
            return one
        known.append(one)
    return Bounds(*np.mean([one[:3] for one in known], axis=0).tolist())


def method_of_mean(method: str, count: int) -> str:
    """Describe the method of `mean_of_ends`."""
    return f"{method}; means of the {count} intervals' ends" if count > 1 else method


@dataclass(frozen=True)
class Rankings:
    """The same inliers ranked against several sets of outliers, and means over sets.

    Attributes:
        inliers: scores of the inliers (n,), by set; usually the same for all sets.
        outliers: scores of the outliers (m,), by set.
        groups: sets whose metrics are averaged, by label.
        metrics: the metrics to compute.
    """

    inliers: Mapping[str, Scores]
    outliers: Mapping[str, Scores]
    groups: Mapping[str, Sequence[str]]
    metrics: tuple[str, ...] = tuple(METRICS)

    @cached_property
    def values(self) -> Mapping[str, Mapping[str, float]]:
        """The metrics of each set."""
        return {
            name: ood_metrics(self.inliers[name], scores, self.metrics)
            for name, scores in self.outliers.items()
        }

    def statistic(
        self,
        metrics: Sequence[str],
        quantity: Callable[[str, str], Quantity],
        untested: str = "",
    ) -> Statistic:
        """Return metrics of each group of sets.

        `quantity` returns the quantity for a metric and the label of a group; `untested` is why
        there is no paired test, which is required if the inliers' scores depend on the set.
        """
        rows = [(metric, label) for label in self.groups for metric in metrics]
        return Statistic(
            quantities=tuple(quantity(*row) for row in rows),
            values=np.array([self._value(*row) for row in rows]),
            make_sums=None if untested else partial(self._sums, metrics),
            bounds=partial(self._bounds, rows),
            method=[self._method(*row) for row in rows],
            untested=untested,
        )

    def _value(self, metric: str, label: str) -> float:
        return float(np.mean([self.values[name][metric] for name in self.groups[label]]))

    def _method(self, metric: str, label: str) -> str:
        if metric == "auroc":
            return AUROC
        return method_of_mean(INTERVALS[metric][1], len(self.groups[label]))

    def _bounds(self, rows: Sequence[tuple[str, str]], level: float) -> list[Bounds | str]:
        @cache
        def of_set(metric: str, name: str) -> Bounds | str:
            bounds, _ = INTERVALS[metric]
            return bounds(self.inliers[name], self.outliers[name], level=level)

        return [
            self._auroc(self.groups[label], level)
            if metric == "auroc"
            else mean_of_ends([of_set(metric, name) for name in self.groups[label]])
            for metric, label in rows
        ]

    def _auroc(self, members: Sequence[str], level: float) -> Bounds | str:
        pairs = [(self.inliers[name], self.outliers[name]) for name in members]
        if min(len(side) for pair in pairs for side in pair) < 2:
            return ONE_IMAGE
        return ranking.mean_auroc([ranking.placements(*pair) for pair in pairs], level)

    def _sums(self, metrics: Sequence[str]) -> SumStatistic:
        """Return the metrics as functions of the numbers of images by set and rank."""
        inliers = next(iter(self.inliers.values()))
        sizes = (len(inliers), *map(len, self.outliers.values()))
        return SumStatistic(self._columns, partial(self._finish, metrics), sizes)

    @cached_property
    def _columns(self) -> Any:
        samples = [next(iter(self.inliers.values())), *self.outliers.values()]
        of_sample = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
        return rank_columns(np.concatenate(samples), of_sample, len(samples))

    def _finish(self, metrics: Sequence[str], sums: Floats) -> Floats:
        accepted = accepted_counts(sums, 1 + len(self.outliers))
        points = [
            OperatingPoints(accepted[:, 0], accepted[:, i]) for i in range(1, len(accepted[0]))
        ]
        values = [ranking_metrics(one, metrics) for one in points]
        table = np.stack([np.stack([v[m] for m in metrics], axis=1) for v in values], axis=1)
        order = list(self.outliers)
        members = [[order.index(name) for name in group] for group in self.groups.values()]
        means = np.stack([table[:, group].mean(axis=1) for group in members], axis=1)
        return means.reshape(len(sums), -1)


#: Why an AUROC has no interval.
ONE_IMAGE = "the AUROC rests on a single image of one side"
