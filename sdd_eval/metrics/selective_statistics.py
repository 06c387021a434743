"""Selective prediction as statistics: value, interval and paired test from one definition.

The areas' intervals are those of `statistics.closed_form.risk_coverage`, those of misclassification
detection `closed_form.ranking` with right images as inliers. The sums of the paired test are as in
`ranking_statistics`. Cells are several renderings of the same images, such as corruptions of the
test set; means over cells average each image's influence on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.ranking import OperatingPoints, operating_points
from sdd_eval.metrics.ranking_statistics import (
    AUROC,
    THRESHOLD,
    accepted_counts,
    mean_of_ends,
    method_of_mean,
    rank_columns,
)
from sdd_eval.metrics.selective import COVERAGE_RISKS, selective_metrics, selective_metrics_of
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.closed_form import ranking
from sdd_eval.statistics.closed_form.risk_coverage import (
    Area,
    augrc_area,
    aurc_area,
    excess_area,
    mean_area,
)
from sdd_eval.statistics.closed_form.share import Bounds, around
from sdd_eval.statistics.intervals import coverage_interval
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

AREAS = ("aurc", "aurc_excess", "augrc")
AUROC_METRIC, FPR_METRIC = "misclassification_auroc", "misclassification_fpr_at_95_tpr"
COVERAGE = "coverages at which a score test leaves the risk open (Wilson's, inverted)"
AREA = "Wilson interval, effective number of images by the influence function"
ONE_SIDED = "fewer than 2 images are {}"
MEAN_COVERAGE = "no method covers a mean of coverages at a risk"
MANY_RANKS = "the ranks of many cells are too many sums for a permutation test"


@dataclass(frozen=True)
class Cell:
    """The confidence and correctness of images in one rendering."""

    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]

    @cached_property
    def values(self) -> Mapping[str, float]:
        """The metrics that are defined."""
        return selective_metrics(self.scores, self.correct)

    def sums(self, metrics: Sequence[str]) -> SumStatistic:
        """Return metrics as functions of numbers of right and wrong images by rank."""

        def finish(sums: Floats) -> Floats:
            accepted = accepted_counts(sums, 2)
            values = selective_metrics_of(OperatingPoints(accepted[:, 0], accepted[:, 1]))
            return np.stack([values[name] for name in metrics], axis=1)

        wrong = 1 - np.asarray(self.correct, dtype=np.int64)
        return SumStatistic(rank_columns(self.scores, wrong, 2), finish, len(wrong))

    @cached_property
    def areas(self) -> Mapping[str, Area]:
        """The areas, with their influence functions."""
        correct = self.correct.astype(np.float64)
        aurc, augrc = aurc_area(self.scores, correct), augrc_area(self.scores, correct)
        return {"aurc": aurc, "aurc_excess": excess_area(aurc, correct), "augrc": augrc}

    @cached_property
    def separation(self) -> _Separation | str:
        """The separation of right from wrong images, or why its AUROC has no interval."""
        right, wrong = map(len, self.sides)
        if min(right, wrong) < 2:
            return ONE_SIDED.format("right" if right < 2 else "wrong")
        placed = ranking.placements(*self.sides)
        error, n = float(placed.outliers.mean()), right + wrong
        influence = np.empty(n)
        influence[self.correct] = (placed.inliers - error) * n / right
        influence[~self.correct] = (placed.outliers - error) * n / wrong
        return _Separation(placed, influence, right, wrong)

    @property
    def sides(self) -> tuple[Floats, Floats]:
        """The scores of the right and of the wrong images."""
        return self.scores[self.correct], self.scores[~self.correct]

    def coverage_bounds(self, risk: float, level: float) -> Bounds:
        """Return the bounds of the coverage at a risk."""
        points = operating_points(*self.sides)
        accepted = points.inliers + points.outliers
        interval = coverage_interval(accepted, points.outliers, risk, len(self.scores), level)
        return Bounds(math.nan, interval.low, interval.high)


@dataclass(frozen=True)
class _Separation:
    """DeLong's components of a cell, and each image's influence (n,) on 1 − AUROC."""

    placed: ranking.Placements
    influence: Floats
    right: int
    wrong: int


def selective_statistic(quantities: Sequence[Quantity], cell: Cell) -> Statistic:
    """Return the metrics of one cell, which must be defined.

    >>> cell = Cell(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]))
    >>> selective_statistic([Quantity("augrc", "fraction", {}, "")], cell).values.round(3)
    array([0.056])
    """
    metrics = [quantity.metric for quantity in quantities]
    return Statistic(
        quantities=tuple(quantities),
        values=np.array([cell.values[metric] for metric in metrics]),
        make_sums=partial(cell.sums, metrics),
        bounds=lambda level: [mean_bounds(metric, [cell], level) for metric in metrics],
        method=[_method(metric, 1) for metric in metrics],
    )


def mean_statistic(quantity: Quantity, cells: Sequence[Cell]) -> Statistic:
    """Return the mean of a metric over cells of the same images, without a permutation test."""
    metric = quantity.metric
    values = [cell.values[metric] for cell in cells]
    return Statistic(
        quantities=(quantity,),
        values=np.array([float(np.mean(values))]),
        bounds=lambda level: [mean_bounds(metric, cells, level)],
        method=_method(metric, len(cells)),
        influence=_influence(metric, cells),
        untested=MANY_RANKS,
    )


def _influence(metric: str, cells: Sequence[Cell]) -> Any:
    """Return a function to each image's influence (n, 1) on a mean; None if it is unknown."""
    if metric in AREAS:
        return lambda: mean_area([cell.areas[metric] for cell in cells]).influence[:, None]
    separations = [cell.separation for cell in cells] if metric == AUROC_METRIC else [""]
    known = [one for one in separations if not isinstance(one, str)]
    if len(known) < len(separations):
        return None
    return lambda: np.mean([one.influence for one in known], axis=0)[:, None]


def _method(metric: str, cells: int) -> str:
    known = {AUROC_METRIC: AUROC, FPR_METRIC: method_of_mean(THRESHOLD, cells)}
    return AREA if metric in AREAS else known.get(metric, COVERAGE)


def mean_bounds(metric: str, cells: Sequence[Cell], level: float) -> Bounds | str:
    """Return the interval of the mean of a metric over cells of the same images.

    - Areas, and the AUROC: from the variance of the influence, averaged over cells, of each image.
    - FPR: the means of the cells' ends.
    - Coverage at a risk: of one cell only.
    """
    if metric in AREAS:
        area = mean_area([cell.areas[metric] for cell in cells])
        ends: Bounds | str = area.bounds(level)
    elif metric == AUROC_METRIC:
        ends = _mean_auroc(cells, level)
    elif metric == FPR_METRIC:
        ends = mean_of_ends([ranking.fpr_at_tpr(*cell.sides, level=level) for cell in cells])
    elif len(cells) > 1:
        return MEAN_COVERAGE
    else:
        ends = cells[0].coverage_bounds(COVERAGE_RISKS[metric], level)
    return around(ends, float(np.mean([cell.values[metric] for cell in cells])))


def _mean_auroc(cells: Sequence[Cell], level: float) -> Bounds | str:
    """Return the interval of a mean AUROC; one pseudo error of each side is wrong in all cells."""
    separations: list[_Separation] = []
    for cell in cells:
        if isinstance(cell.separation, str):
            return cell.separation
        separations.append(cell.separation)
    if len(cells) == 1:
        return ranking.mean_auroc([separations[0].placed], level)
    influence = np.mean([one.influence for one in separations], axis=0)
    pseudo = [np.mean([1 / one.right for one in separations])]
    pseudo.append(np.mean([1 / one.wrong for one in separations]))
    variance = float((influence**2).sum() / len(influence) ** 2 + np.square(pseudo).sum())
    error = float(np.mean([one.placed.outliers.mean() for one in separations]))
    fewest = 1 / float(np.mean([1 / min(one.right, one.wrong) for one in separations]))
    return ranking.auroc_bounds(error, variance, float(np.sum(pseudo)), fewest, level)
