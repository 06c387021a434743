"""The numbers that ranks decide: outliers told from the test set, right images from wrong ones.

Scores of two networks mean the same only as ranks among a network's own (Venkatraman, Begg 1996),
so images are counted by the rank of their score. More than `GRAIN` distinct scores of a network
share that many ranks, of equally many images each: a metric then moves by about 1 in 1,000.
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
from sdd_eval.evaluators.ood.ranking import OF_A_CELL
from sdd_eval.metrics.ranking import METRICS, OperatingPoints, ranking_metrics
from sdd_eval.metrics.selective import SCORES, weighted_selective_metrics
from sdd_eval.plugins import load, names
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

#: How many ranks are told apart at most.
GRAIN = 1024

#: The metrics that studies mostly ask for; they are tested apart, for the others take longer.
USUAL = ("auroc", "fpr_at_95_tpr")
OTHER = tuple(name for name in METRICS if name not in USUAL)

Scores = NDArray[np.float64]


def ranks(scores: Scores) -> NDArray[np.int64]:
    """Ranks (n,) below `GRAIN`; equal scores have equal ones.

    >>> ranks(np.array([0.5, 0.1, 0.5, 2.0])).tolist()
    [1, 0, 1, 2]
    """
    _, found = np.unique(scores, return_inverse=True)
    dense: NDArray[np.int64] = found.reshape(-1)
    if dense.max() < GRAIN:
        return dense
    return np.searchsorted(np.sort(dense), dense) * GRAIN // len(dense)


def of_odin(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """All metrics of ODIN over each set of outliers, and over their averages."""
    outside = {n.removeprefix("scores_"): arrays[n] for n in arrays if n.startswith("scores_")}
    dataset = str(settings.get("training", ""))
    (place,) = _variants("odin", settings)
    at = {"detector": "odin", **place}
    yield from _of_detector(at, arrays["scores"], outside, dataset)
    if "grid" in arrays:
        grid = {n.removeprefix("grid_"): arrays[n] for n in arrays if n.startswith("grid_")}
        yield from _of_grid(arrays["grid"], grid, dataset)


def of_ood(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """All metrics of each detector, of each of its variants."""
    dataset = str(settings.get("training", ""))
    for name in (each for each in arrays if each in (*names("detectors"), OdinGrid.name)):
        outside = {
            each.split(":", 1)[1]: arrays[each] for each in arrays if each.startswith(f"{name}:")
        }
        if name == OdinGrid.name:
            yield from _of_grid(arrays[name], outside, dataset)
            continue
        for column, place in enumerate(_variants(name, settings)):
            own = {each: _column(scores, column) for each, scores in outside.items()}
            inside = _column(arrays[name], column)
            yield from _of_detector({"detector": name, **place}, inside, own, dataset)


def _of_grid(
    inside: Scores, outside: Mapping[str, Scores], dataset: str
) -> Iterator[KeyedStatistic]:
    """The metrics that are told of each cell of ODIN's grid."""
    for column, place in enumerate(OdinGrid().places):
        own = {each: _column(scores, column) for each, scores in outside.items()}
        at = {"detector": "odin", **place}
        yield from _of_detector(at, _column(inside, column), own, dataset, [OF_A_CELL])


def _variants(detector: str, settings: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Where each column of a detector's scores stands."""
    kind = load("detectors", detector)
    if detector == "odin":
        return places(kind(settings["temperature"], settings["epsilon"]))
    return places(kind())


def _column(scores: Scores, column: int) -> Scores:
    return scores if scores.ndim == 1 else scores[:, column]


def _of_detector(
    at: Mapping[str, Any],
    inside: Scores,
    outside: Mapping[str, Scores],
    dataset: str,
    apart: Sequence[Sequence[str]] = (USUAL, OTHER),
) -> Iterator[KeyedStatistic]:
    """A detector's metrics, in parts that are tested apart: images are counted by set and rank."""
    sets = list(outside)
    sizes = (len(inside), *map(len, outside.values()))
    index = ranks(np.concatenate([inside, *outside.values()]))
    columns = _one_hot(index + GRAIN * np.repeat(np.arange(len(sizes)), sizes), GRAIN * len(sizes))
    groups = {**{name: (name,) for name in sets}, **averages(sets, dataset)}
    members = [[sets.index(name) for name in names] for names in groups.values()]
    for metrics in apart:
        keys = [key(metric, **at, outliers=label) for label in groups for metric in metrics]
        yield KeyedStatistic(
            tuple(keys), SumStatistic(columns, _averaged(metrics, len(sizes), members), sizes)
        )


def _averaged(
    metrics: Sequence[str], sets: int, members: Sequence[Sequence[int]]
) -> Callable[[Floats], Floats]:
    """From counts by set and rank to means of metrics over some sets of outliers each."""

    def finish(sums: Floats) -> Floats:
        reached = _reached(sums.reshape(len(sums), sets, GRAIN))
        inside = reached[:, 0]
        found = [
            ranking_metrics(OperatingPoints(inside, reached[:, i]), metrics) for i in range(1, sets)
        ]
        table = np.stack([np.stack([each[m] for m in metrics], axis=1) for each in found], axis=1)
        means = np.stack([table[:, list(own)].mean(axis=1) for own in members], axis=1)
        return means.reshape(len(sums), -1)

    return finish


def _reached(counts: Floats) -> Floats:
    """How many have at least each rank (…, GRAIN + 1), from the highest on, after a zero."""
    found = np.zeros((*counts.shape[:-1], GRAIN + 1))
    np.cumsum(counts[..., ::-1], axis=-1, out=found[..., 1:])
    return found


def of_selective(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Risk and coverage by each score of confidence, on the test set."""
    right = np.asarray(arrays["correct"], dtype=np.int64)
    n = len(right)
    every = np.arange(GRAIN, dtype=np.float64)
    measure = weighted_selective_metrics(np.tile(every, 2), np.repeat([1, 0], GRAIN))
    metrics = list(measure(np.ones((1, 2 * GRAIN))))
    for column, score in enumerate(SCORES):
        columns = ranks(arrays["scores"][:, column]) + GRAIN * (1 - right)

        def finish(sums: Floats) -> Floats:
            found = measure(sums)
            return np.stack([found[name] for name in metrics], axis=1)

        keys = [key(name, score=score) for name in metrics]
        yield KeyedStatistic(tuple(keys), SumStatistic(_one_hot(columns, 2 * GRAIN), finish, n))


def _one_hot(columns: NDArray[np.int64], width: int) -> Any:
    """A sparse matrix (n, width) with a 1 in each row's column."""
    from scipy.sparse import csr_matrix  # scipy costs a second that a reader does not need

    n = len(columns)
    ones = np.ones(n, dtype=np.float32)
    return csr_matrix((ones, columns, np.arange(n + 1)), shape=(n, width))
