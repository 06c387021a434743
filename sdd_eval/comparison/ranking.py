"""Statistics of rank-based metrics: OOD detection and selective prediction.

Scores of two networks are comparable only as ranks within a network (Venkatraman, Begg 1996), so
images are counted by the rank of their score. A network with more than `MAX_RANKS` distinct scores
gets that many ranks of equally many images, which changes a metric by about 1 in 1,000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.comparison.statistic import Arrays, KeyedStatistic, key
from sdd_eval.data.ood_sets import averages
from sdd_eval.evaluators.ood.detectors.detector import places
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid
from sdd_eval.evaluators.ood.ranking import CELL_METRICS
from sdd_eval.metrics.ranking import METRICS, OperatingPoints, ranking_metrics
from sdd_eval.metrics.selective import SCORES, weighted_selective_metrics
from sdd_eval.plugins import load, names
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

#: The largest number of distinct ranks.
MAX_RANKS = 1024
#: The default metrics of the families, tested separately because the others take longer.
COMMON_METRICS = ("auroc", "fpr_at_95_tpr")
OTHER_METRICS = tuple(name for name in METRICS if name not in COMMON_METRICS)

Scores = NDArray[np.float64]


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


def odin_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the metrics of ODIN for each OOD set and their averages."""
    outliers = {n.removeprefix("scores_"): arrays[n] for n in arrays if n.startswith("scores_")}
    dataset = str(settings.get("training", ""))
    (variant,) = _variants("odin", settings)
    yield from _detector({"detector": "odin", **variant}, arrays["scores"], outliers, dataset)
    if "grid" in arrays:
        grid = {n.removeprefix("grid_"): arrays[n] for n in arrays if n.startswith("grid_")}
        yield from _grid(arrays["grid"], grid, dataset)


def ood_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the metrics of each variant of each detector."""
    dataset = str(settings.get("training", ""))
    for name in (array for array in arrays if array in (*names("detectors"), OdinGrid.name)):
        outliers = {
            array.split(":", 1)[1]: arrays[array]
            for array in arrays
            if array.startswith(f"{name}:")
        }
        if name == OdinGrid.name:
            yield from _grid(arrays[name], outliers, dataset)
            continue
        for column, variant in enumerate(_variants(name, settings)):
            scores = {ood_set: _column(table, column) for ood_set, table in outliers.items()}
            inliers = _column(arrays[name], column)
            yield from _detector({"detector": name, **variant}, inliers, scores, dataset)


def _grid(
    inliers: Scores, outliers: Mapping[str, Scores], dataset: str
) -> Iterator[KeyedStatistic]:
    """Yield the metrics of each cell of ODIN's grid."""
    for column, cell in enumerate(OdinGrid().places):
        scores = {ood_set: _column(table, column) for ood_set, table in outliers.items()}
        at = {"detector": "odin", **cell}
        yield from _detector(at, _column(inliers, column), scores, dataset, [CELL_METRICS])


def _variants(detector: str, settings: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the axes of each column of a detector's scores."""
    kind = load("detectors", detector)
    if detector == "odin":
        return places(kind(settings["temperature"], settings["epsilon"]))
    return places(kind())


def _column(scores: Scores, column: int) -> Scores:
    return scores if scores.ndim == 1 else scores[:, column]


def _detector(
    at: Mapping[str, Any],
    inliers: Scores,
    outliers: Mapping[str, Scores],
    dataset: str,
    metric_groups: Sequence[Sequence[str]] = (COMMON_METRICS, OTHER_METRICS),
) -> Iterator[KeyedStatistic]:
    """Yield a detector's metrics; the sums are numbers of images by set and rank."""
    sets = list(outliers)
    sizes = (len(inliers), *map(len, outliers.values()))
    rank = ranks(np.concatenate([inliers, *outliers.values()]))
    width = min(MAX_RANKS, len(rank))  # the same for all networks
    first_column = width * np.repeat(np.arange(len(sizes)), sizes)
    columns = _one_hot(rank + first_column, width * len(sizes))
    groups = {**{name: (name,) for name in sets}, **averages(sets, dataset)}
    members = [[sets.index(name) for name in group] for group in groups.values()]
    for metrics in metric_groups:
        keys = [key(metric, **at, outliers=label) for label in groups for metric in metrics]
        sums = SumStatistic(columns, _averaged(metrics, len(sizes), members), sizes)
        yield KeyedStatistic(tuple(keys), sums)


def _averaged(
    metrics: Sequence[str], sets: int, members: Sequence[Sequence[int]]
) -> Callable[[Floats], Floats]:
    """Return a function from counts by set and rank to means of metrics over groups of sets."""

    def finish(sums: Floats) -> Floats:
        accepted = _accepted(sums.reshape(len(sums), sets, -1))
        points = [OperatingPoints(accepted[:, 0], accepted[:, i]) for i in range(1, sets)]
        values = [ranking_metrics(one, metrics) for one in points]
        table = np.stack([np.stack([v[m] for m in metrics], axis=1) for v in values], axis=1)
        means = np.stack([table[:, list(group)].mean(axis=1) for group in members], axis=1)
        return means.reshape(len(sums), -1)

    return finish


def _accepted(counts: Floats) -> Floats:
    """Return the numbers of images (…, ranks + 1) above each rank, descending from none."""
    accepted = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1))
    np.cumsum(counts[..., ::-1], axis=-1, out=accepted[..., 1:])
    return accepted


def selective_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the metrics of selective prediction by each confidence score, on the test set."""
    correct = np.asarray(arrays["correct"], dtype=np.int64)
    n = len(correct)
    width = min(MAX_RANKS, n)
    all_ranks = np.arange(width, dtype=np.float64)
    metrics_of = weighted_selective_metrics(np.tile(all_ranks, 2), np.repeat([1, 0], width))
    metrics = list(metrics_of(np.ones((1, 2 * width))))

    def finish(sums: Floats) -> Floats:
        values = metrics_of(sums)
        return np.stack([values[name] for name in metrics], axis=1)

    for column, score in enumerate(SCORES):
        columns = ranks(arrays["scores"][:, column]) + width * (1 - correct)
        keys = tuple(key(name, score=score) for name in metrics)
        yield KeyedStatistic(keys, SumStatistic(_one_hot(columns, 2 * width), finish, n))


def _one_hot(columns: NDArray[np.int64], width: int) -> Any:
    """Return a sparse matrix (n, width) with a 1 in each row's column."""
    from scipy.sparse import csr_matrix  # imported here because scipy takes a second to load

    n = len(columns)
    ones = np.ones(n, dtype=np.float32)
    return csr_matrix((ones, columns, np.arange(n + 1)), shape=(n, width))
