"""Statistics on how well each detector separates the test set from OOD sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.ood_sets import averages, resizing_warning
from sdd_eval.evaluators.ood.detectors.detector import Named, places
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid, validated_cell
from sdd_eval.metrics.ranking_statistics import COMMON_METRICS, OTHER_METRICS, Rankings
from sdd_eval.statistics.statistic import Quantity, Statistic

Scores = NDArray[np.float64]

#: The convention of each metric.
CONVENTIONS = {
    "fpr_at_95_tpr": "in-distribution positive; share of outliers at the highest threshold that "
    "≥ 95 % of in-distribution scores reach, no interpolation",
    "fpr_at_95_tpr_out": "outliers positive; share of in-distribution images at or below the "
    "lowest threshold that ≥ 95 % of outlier scores do not exceed, no interpolation",
    "detection_error": "minimum over thresholds, ±∞ included, of ½ (1 − TPR) + ½ FPR",
    "detection_error_by_counts": "minimum over thresholds, ±∞ included, of "
    "(misses + false alarms) / all images",
    "auroc": "in-distribution positive; ties count half",
    "aupr_in": "in-distribution positive; step rule, count-based (depends on the sizes)",
    "aupr_out": "outliers positive; step rule, count-based (depends on the sizes)",
    "aupr_in_prevalence_free": "in-distribution positive; step rule, precision = TPR / (TPR + FPR)",
    "aupr_out_prevalence_free": "outliers positive; step rule, precision = TPR / (TPR + FPR)",
}
#: The metrics of each cell of the grid.
CELL_METRICS = ("fpr_at_95_tpr", "detection_error", "auroc")
BEST = "best"
HOW_CHOSEN = (
    "the cell of lowest FPR at 95 % TPR, then highest AUROC, chosen on the outliers under test "
    "and so no fair result"
)
#: Why the best cell has no paired test.
CHOSEN_ON_OUTLIERS = "each network's best cell was selected on the same OOD images"
VALIDATED = "validation"
HOW_VALIDATED = (
    "the step whose mean score of the validation images, held out of training, is highest, "
    "without a look at any outlier (Hsu et al. 2020, Generalized ODIN)"
)


@dataclass(frozen=True)
class Tables:
    """A detector's scores (n, columns) of the test set and of each OOD set.

    `dataset` is the data set that the network was trained on; it determines the groups of OOD sets.
    """

    inside: Scores
    outside: Mapping[str, Scores]
    dataset: str

    def rankings(self, columns: Mapping[str, int], metrics: Iterable[str]) -> Rankings:
        """Return the rankings against each OOD set by one column of the scores, and averages."""
        groups: dict[str, Sequence[str]] = {name: (name,) for name in columns}
        return Rankings(
            inliers={name: self.inside[:, column] for name, column in columns.items()},
            outliers={name: self.outside[name][:, column] for name, column in columns.items()},
            groups={**groups, **averages(columns, self.dataset)},
            metrics=tuple(metrics),
        )


#: The protocol of a cell chosen from a grid, and its values of T and ε.
Cell = tuple[Mapping[str, str], Mapping[str, str]]


def _statistics(
    rankings: Rankings,
    at: Mapping[str, Any],
    protocol: Mapping[str, str],
    cells: Mapping[str, Cell] = MappingProxyType({}),
    groups: Sequence[Sequence[str]] = (COMMON_METRICS, OTHER_METRICS),
    untested: str = "",
) -> Iterator[Statistic]:
    """Yield the metrics of rankings in groups that are tested together.

    `cells` maps each OOD set or average to the protocol of its grid cell and the chosen values.
    """

    def quantity(metric: str, label: str) -> Quantity:
        sets, sizes = rankings.groups[label], f"mean over {', '.join(rankings.groups[label])}"
        if label in rankings.outliers:  # count-based AUPR depends on the set sizes
            inside, outside = rankings.inliers[label], rankings.outliers[label]
            sizes = f"{len(inside):,} against {len(outside):,} images"
        of_label, fitted = cells.get(label, (protocol, {}))
        conditions = {
            **of_label,
            "definition": CONVENTIONS[metric],
            "images": sizes,
            "resizing": resizing_warning(sets),
        }
        return Quantity(metric, "fraction", {**at, "outliers": label}, conditions, fitted)

    for metrics in groups:
        yield rankings.statistic(metrics, quantity, untested)


def detector_statistics(detector: Named, tables: Tables) -> Iterator[Statistic]:
    """Yield all metrics of each column of a detector, for each OOD set and for averages."""
    for column, axes in enumerate(places(detector)):
        at = {"detector": detector.name, "outliers": "", **axes}
        rankings = tables.rankings(dict.fromkeys(tables.outside, column), CONVENTIONS)
        yield from _statistics(rankings, at, {"score": detector.protocol})


def grid_statistics(
    grid: OdinGrid, tables: Tables, validation: Scores | None = None
) -> Iterator[Statistic]:
    """Yield a few metrics for each cell of ODIN's grid, and all metrics for the chosen cells.

    One chosen cell is the best for each OOD set. Another, the same for all sets, is chosen by the
    scores of validation images (m, steps), if given.
    """
    at, sets = {"detector": "odin", "outliers": ""}, tables.outside
    score = {"score": grid.protocol}
    cells = [
        tables.rankings(dict.fromkeys(sets, cell), CELL_METRICS) for cell in range(len(grid.cells))
    ]
    for axes, rankings in zip(grid.places, cells, strict=True):
        yield from _statistics(rankings, {**at, **axes}, score, groups=[CELL_METRICS])
    best = {name: _best(cells, name) for name in sets}
    chosen = {name: _chosen(grid, cell, HOW_CHOSEN) for name, cell in best.items()}
    shared = {**score, "cell": f"{HOW_CHOSEN}, for each set its own"}
    rankings = tables.rankings(best, CONVENTIONS)
    at_best = {**at, "grid": BEST}
    yield from _statistics(rankings, at_best, shared, chosen, untested=CHOSEN_ON_OUTLIERS)
    if validation is not None:
        cell = validated_cell(validation)
        rankings = tables.rankings(dict.fromkeys(sets, cell), CONVENTIONS)
        validated = _chosen(grid, cell, HOW_VALIDATED)
        by_label = dict.fromkeys(rankings.groups, validated)
        yield from _statistics(rankings, {**at, "grid": VALIDATED}, validated[0], by_label)


def _best(cells: Sequence[Rankings], name: str) -> int:
    """Return the first cell with the lowest FPR, then highest AUROC, for an OOD set."""
    values = [cell.values[name] for cell in cells]
    keys = [(metrics["fpr_at_95_tpr"], -metrics["auroc"]) for metrics in values]
    return keys.index(min(keys))


def _chosen(grid: OdinGrid, cell: int, how: str) -> Cell:
    """Return the protocol of a chosen cell, which all seeds share, and its values."""
    temperature, epsilon = grid.cells[cell]
    protocol = {"score": grid.protocol, "cell": f"T, fitted, and ε, fitted: {how}"}
    return protocol, {"T": f"{temperature:g}", "ε": f"{epsilon:g}"}
