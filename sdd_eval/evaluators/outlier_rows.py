"""From scores to numbers: how well a detector tells each set of outliers, and their means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.outliers import averages, resizing_note
from sdd_eval.evaluators.detectors.detector import Named, places
from sdd_eval.evaluators.detectors.odin import OdinGrid
from sdd_eval.metrics.detection import ood_metrics
from sdd_eval.records import Measurement

#: What each metric means, to stand beside its number.
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
#: Of each cell of a grid only these are told.
OF_A_CELL = ("fpr_at_95_tpr", "detection_error", "auroc")
BEST = "best"
HOW_CHOSEN = (
    "the cell of lowest FPR at 95 % TPR, then highest AUROC, chosen on the outliers under test "
    "and so no fair result"
)

Scores = NDArray[np.float64]
Values = Mapping[str, float]


def rows(
    detector: Named, inside: Scores, outside: Mapping[str, Scores], dataset: str
) -> list[Measurement]:
    """All metrics of a detector: for each of its places, over each set and their averages.

    `dataset` is the one that the network was trained on; groups of outliers are those of it.
    """
    found: list[Measurement] = []
    for column, place in enumerate(places(detector)):
        at = {"detector": detector.name, "outliers": "", **place}
        of_sets = _metrics(inside, outside, column)
        found += _rows(CONVENTIONS, at, detector.protocol, of_sets, dataset)
    return found


def grid_rows(
    grid: OdinGrid, inside: Scores, outside: Mapping[str, Scores], dataset: str
) -> list[Measurement]:
    """A few metrics of each cell of ODIN's grid, and all of the best cell for each set."""
    cells = [_metrics(inside, outside, column) for column in range(len(grid.cells))]
    found: list[Measurement] = []
    for place, of_sets in zip(grid.places, cells, strict=True):
        at = {"detector": "odin", "outliers": "", **place}
        found += _rows(OF_A_CELL, at, grid.protocol, of_sets, dataset)
    best = {name: min(range(len(cells)), key=_badness(cells, name)) for name in outside}
    protocols = {name: _of_best(grid, cell) for name, cell in best.items()}
    chosen = {name: cells[cell][name] for name, cell in best.items()}
    at = {"detector": "odin", "outliers": "", "grid": BEST}
    shared = f"{grid.protocol}; {HOW_CHOSEN}, for each set its own"
    return [*found, *_rows(CONVENTIONS, at, shared, chosen, dataset, protocols)]


def _badness(cells: list[dict[str, Values]], name: str) -> Any:
    """What the best cell for a set of outliers has least of; of equal ones the first is taken."""
    return lambda cell: (cells[cell][name]["fpr_at_95_tpr"], -cells[cell][name]["auroc"])


def _of_best(grid: OdinGrid, cell: int) -> str:
    """The protocol of the best cell; its T and ε are marked as fitted, so that seeds share it."""
    temperature, epsilon = grid.cells[cell]
    return (
        f"{grid.protocol}; T = {temperature:g}, fitted, and ε = {epsilon:g}, fitted: {HOW_CHOSEN}"
    )


def _metrics(inside: Scores, outside: Mapping[str, Scores], column: int) -> dict[str, Values]:
    """The metrics of one column of scores over each set of outliers, and how many scores a side."""
    own = _column(inside, column)
    return {
        name: ood_metrics(own, _column(scores, column))
        | {"inside": float(len(inside)), "outside": float(len(scores))}
        for name, scores in outside.items()
    }


def _column(scores: Scores, column: int) -> Scores:
    return scores if scores.ndim == 1 else scores[:, column]


def _rows(
    metrics: Any,
    at: Mapping[str, Any],
    protocol: str,
    of_sets: Mapping[str, Values],
    dataset: str,
    protocols: Mapping[str, str] | None = None,
) -> Iterator[Measurement]:
    """Rows of each set, each with its convention, then of the averages that may be formed."""
    for name, values in of_sets.items():
        score, sizes = (protocols or {}).get(name, protocol), _sizes(values)
        note = "; ".join(filter(None, [sizes, resizing_note([name])]))
        yield from _of_place(metrics, {**at, "outliers": name}, score, values, note)
    for label, members in averages(of_sets, dataset).items():
        mean = {m: float(np.mean([of_sets[name][m] for name in members])) for m in CONVENTIONS}
        note = "; ".join(filter(None, [f"mean over {', '.join(members)}", resizing_note(members)]))
        yield from _of_place(metrics, {**at, "outliers": label}, protocol, mean, note)


def _sizes(values: Values) -> str:
    """How many images stand on either side: AUPR by counts depends on it."""
    return f"{values['inside']:,.0f} against {values['outside']:,.0f} images"


def _of_place(
    metrics: Any, at: Mapping[str, Any], protocol: str, values: Values, note: str
) -> Iterator[Measurement]:
    for metric in metrics:
        told = "; ".join(filter(None, [protocol, CONVENTIONS[metric], note]))
        yield Measurement(metric, values[metric], "fraction", at, told)
