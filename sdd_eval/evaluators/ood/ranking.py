"""Metrics of the separation of the test set from OOD sets, with bootstrap intervals.

All OOD sets share the resamples of the test set, and each has its own resamples. The interval of a
mean over sets thus reflects that they share the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.ood_sets import averages, resizing_warning
from sdd_eval.evaluators.intervals import Intervals, with_interval
from sdd_eval.evaluators.ood.detectors.detector import Named, places
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid, validated_cell
from sdd_eval.metrics.ranking import ood_metrics, weighted_ood_metrics
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats, Weights

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class SetMetrics:
    """Metrics over each OOD set; `resamples` is (resamples, sets, metrics).

    `images` is the number of images of the test set and of each OOD set.
    """

    metrics: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]
    resamples: Floats
    images: tuple[int, ...]

    def mean(self, metric: str, sets: Sequence[str]) -> float:
        """Return the mean of a metric over some sets."""
        return float(np.mean([self.values[name][metric] for name in sets]))

    def resampled(self, metric: str, sets: Sequence[str]) -> Floats:
        """Return that mean in each resample (resamples,)."""
        columns = [list(self.values).index(name) for name in sets]
        means: Floats = self.resamples[:, columns, self.metrics.index(metric)].mean(axis=1)
        return means

    def sizes(self, name: str) -> str:
        """Return the numbers of images in words, as AUPR by counts depends on them."""
        outside = self.images[1 + list(self.values).index(name)]
        return f"{self.images[0]:,} against {outside:,} images"


def detector_metrics(
    inside: Scores,
    outside: Mapping[str, Scores],
    columns: Mapping[str, int],
    metrics: Iterable[str],
    intervals: Intervals,
    times: int = 1,
) -> SetMetrics:
    """Return metrics over each OOD set.

    Args:
        inside: scores of the test set, (n,) or (n, columns).
        outside: scores of each OOD set.
        columns: the column of the scores to use for each OOD set.
        metrics: names of metrics.
        intervals: settings of the intervals.
        times: how many times the function is called for one table; it limits the resamples.
    """
    names = tuple(metrics)
    pairs = {
        name: (_column(inside, columns[name]), _column(scores, columns[name]))
        for name, scores in outside.items()
    }
    values = {name: ood_metrics(*pair) for name, pair in pairs.items()}
    images = (len(inside), *map(len, outside.values()))
    weighted = [
        weighted_ood_metrics(
            np.concatenate(pair), np.repeat([1, 0], [len(side) for side in pair]), names
        )
        for pair in pairs.values()
    ]
    ends = list(accumulate(images))

    def quantity(weights: Weights) -> Floats:
        of_test = weights[:, : ends[0]]
        of_sets = []
        for measure, begin, end in zip(weighted, ends, ends[1:], strict=False):
            found = measure(np.concatenate([of_test, weights[:, begin:end]], axis=1))
            of_sets.append(np.stack([found[metric] for metric in names], axis=1))
        return np.stack(of_sets, axis=1)

    cost = times * sum(images[0] + size for size in images[1:])
    return SetMetrics(names, values, intervals.replicates(quantity, images, cost), images)


def _column(scores: Scores, column: int) -> Scores:
    return scores if scores.ndim == 1 else scores[:, column]


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
#: Metrics of each cell of the grid.
CELL_METRICS = ("fpr_at_95_tpr", "detection_error", "auroc")
BEST = "best"
HOW_CHOSEN = (
    "the cell of lowest FPR at 95 % TPR, then highest AUROC, chosen on the outliers under test "
    "and so no fair result"
)
VALIDATED = "validation"
HOW_VALIDATED = (
    "the step whose mean score of the validation images, held out of training, is highest, "
    "without a look at any outlier (Hsu et al. 2020, Generalized ODIN)"
)


def rows(
    detector: Named,
    inside: Scores,
    outside: Mapping[str, Scores],
    dataset: str,
    intervals: Intervals,
) -> list[Measurement]:
    """Return all metrics of a detector, of each of its columns over each OOD set and averages.

    `dataset` is the one that the network was trained on, which determines the groups of OOD sets.
    """
    measurements: list[Measurement] = []
    for column, axes in enumerate(places(detector)):
        at = {"detector": detector.name, "outliers": "", **axes}
        columns = dict.fromkeys(outside, column)
        metrics = detector_metrics(inside, outside, columns, CONVENTIONS, intervals)
        measurements += _rows(at, detector.protocol, metrics, dataset, intervals)
    return measurements


def grid_rows(
    grid: OdinGrid,
    inside: Scores,
    outside: Mapping[str, Scores],
    dataset: str,
    intervals: Intervals,
    validation: Scores | None = None,
) -> list[Measurement]:
    """Return a few metrics of each cell of ODIN's grid, and all metrics of chosen cells.

    One cell is the best for each OOD set. Another, the same for all sets, is chosen by the scores
    of validation images (m, steps), if given.
    """
    numbers = range(len(grid.cells))
    cells = [
        detector_metrics(
            inside, outside, dict.fromkeys(outside, cell), CELL_METRICS, intervals, len(numbers)
        )
        for cell in numbers
    ]
    measurements: list[Measurement] = []
    for axes, metrics in zip(grid.places, cells, strict=True):
        at = {"detector": "odin", "outliers": "", **axes}
        measurements += _rows(at, grid.protocol, metrics, dataset, intervals)
    best = {name: min(numbers, key=_badness(cells, name)) for name in outside}
    protocols = {name: _chosen(grid, cell, HOW_CHOSEN) for name, cell in best.items()}
    metrics = detector_metrics(inside, outside, best, CONVENTIONS, intervals)
    at = {"detector": "odin", "outliers": "", "grid": BEST}
    shared = f"{grid.protocol}; {HOW_CHOSEN}, for each set its own"
    measurements += _rows(at, shared, metrics, dataset, intervals, protocols)
    if validation is not None:
        cell = validated_cell(validation)
        metrics = detector_metrics(
            inside, outside, dict.fromkeys(outside, cell), CONVENTIONS, intervals
        )
        protocol = _chosen(grid, cell, HOW_VALIDATED)
        measurements += _rows({**at, "grid": VALIDATED}, protocol, metrics, dataset, intervals)
    return measurements


def _badness(cells: Sequence[SetMetrics], name: str) -> Callable[[int], tuple[float, float]]:
    """Return the key that the best cell for an OOD set minimises; of ties the first is taken."""

    def badness(cell: int) -> tuple[float, float]:
        values = cells[cell].values[name]
        return values["fpr_at_95_tpr"], -values["auroc"]

    return badness


def _chosen(grid: OdinGrid, cell: int, how: str) -> str:
    """Return the protocol of a chosen cell; marked as fitted, so that seeds share it."""
    temperature, epsilon = grid.cells[cell]
    return f"{grid.protocol}; T = {temperature:g}, fitted, and ε = {epsilon:g}, fitted: {how}"


def _rows(
    at: Mapping[str, Any],
    protocol: str,
    metrics: SetMetrics,
    dataset: str,
    intervals: Intervals,
    protocols: Mapping[str, str] | None = None,
) -> Iterator[Measurement]:
    """Yield the metrics of each set, with its own protocol if given, then of the averages."""
    for name in metrics.values:
        of_set = (protocols or {}).get(name, protocol)
        note = "; ".join(filter(None, [metrics.sizes(name), resizing_warning([name])]))
        yield from _over({**at, "outliers": name}, of_set, metrics, [name], note, intervals)
    for label, sets in averages(metrics.values, dataset).items():
        note = "; ".join(filter(None, [f"mean over {', '.join(sets)}", resizing_warning(sets)]))
        yield from _over({**at, "outliers": label}, protocol, metrics, sets, note, intervals)


def _over(
    at: Mapping[str, Any],
    protocol: str,
    metrics: SetMetrics,
    sets: Sequence[str],
    note: str,
    intervals: Intervals,
) -> Iterator[Measurement]:
    """Yield the means of the metrics over some sets, with intervals."""
    for metric in metrics.metrics:
        text = "; ".join(filter(None, [protocol, CONVENTIONS[metric], note]))
        number = Measurement(metric, metrics.mean(metric, sets), "fraction", at, text)
        resampled = metrics.resampled(metric, sets)
        yield with_interval(number, intervals.of_ranking(metric, number.value, resampled))
