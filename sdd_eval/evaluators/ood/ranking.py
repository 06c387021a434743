"""How well scores tell the test set from sets of outliers, on these images and on resampled ones.

All sets of outliers are measured in the same resamples of the test set, and each in resamples of
its own: so a mean over sets has the interval that their common side gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.ood_sets import averages, resizing_warning
from sdd_eval.evaluators.intervals import Intervals, beside
from sdd_eval.evaluators.ood.detectors.detector import Named, places
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid, validated_cell
from sdd_eval.metrics.ranking import ood_metrics, weighted_ood_metrics
from sdd_eval.records import Measurement
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
        weighted_ood_metrics(
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
    """All metrics of a detector: for each of its places, over each set and their averages.

    `dataset` is the one that the network was trained on; groups of outliers are those of it.
    """
    found: list[Measurement] = []
    for column, place in enumerate(places(detector)):
        at = {"detector": detector.name, "outliers": "", **place}
        columns = dict.fromkeys(outside, column)
        told = detector_metrics(inside, outside, columns, CONVENTIONS, intervals)
        found += _rows(at, detector.protocol, told, dataset, intervals)
    return found


def grid_rows(
    grid: OdinGrid,
    inside: Scores,
    outside: Mapping[str, Scores],
    dataset: str,
    intervals: Intervals,
    validation_set: Scores | None = None,
) -> list[Measurement]:
    """A few metrics of each cell of ODIN's grid, and all of the best cell for each set.

    And all of the cell that validation images choose, for all sets the same, by their scores
    `held_out` (m, steps), if there are any.
    """
    numbers = range(len(grid.cells))
    cells = [
        detector_metrics(
            inside, outside, dict.fromkeys(outside, cell), OF_A_CELL, intervals, len(numbers)
        )
        for cell in numbers
    ]
    found: list[Measurement] = []
    for place, told in zip(grid.places, cells, strict=True):
        at = {"detector": "odin", "outliers": "", **place}
        found += _rows(at, grid.protocol, told, dataset, intervals)
    best = {name: min(numbers, key=_badness(cells, name)) for name in outside}
    protocols = {name: _of_chosen(grid, cell, HOW_CHOSEN) for name, cell in best.items()}
    chosen = detector_metrics(inside, outside, best, CONVENTIONS, intervals)
    at = {"detector": "odin", "outliers": "", "grid": BEST}
    shared = f"{grid.protocol}; {HOW_CHOSEN}, for each set its own"
    found += _rows(at, shared, chosen, dataset, intervals, protocols)
    if validation_set is not None:
        validated = validated_cell(validation_set)
        columns = dict.fromkeys(outside, validated)
        told = detector_metrics(inside, outside, columns, CONVENTIONS, intervals)
        how = _of_chosen(grid, validated, HOW_VALIDATED)
        found += _rows({**at, "grid": VALIDATED}, how, told, dataset, intervals)
    return found


def _badness(cells: Sequence[OfSets], name: str) -> Any:
    """What the best cell for a set of outliers has least of; of equal ones the first is taken."""

    def badness(cell: int) -> tuple[float, float]:
        values = cells[cell].values[name]
        return values["fpr_at_95_tpr"], -values["auroc"]

    return badness


def _of_chosen(grid: OdinGrid, cell: int, how: str) -> str:
    """The protocol of a chosen cell; its T and ε are marked as fitted, so that seeds share it."""
    temperature, epsilon = grid.cells[cell]
    return f"{grid.protocol}; T = {temperature:g}, fitted, and ε = {epsilon:g}, fitted: {how}"


def _rows(
    at: Mapping[str, Any],
    protocol: str,
    told: OfSets,
    dataset: str,
    intervals: Intervals,
    protocols: Mapping[str, str] | None = None,
) -> Iterator[Measurement]:
    """Rows of each set, each with its convention, then of the averages that may be formed."""
    for name in told.values:
        score = (protocols or {}).get(name, protocol)
        note = "; ".join(filter(None, [told.sizes(name), resizing_warning([name])]))
        yield from _of_place({**at, "outliers": name}, score, told, [name], note, intervals)
    for label, members in averages(told.values, dataset).items():
        note = "; ".join(
            filter(None, [f"mean over {', '.join(members)}", resizing_warning(members)])
        )
        yield from _of_place({**at, "outliers": label}, protocol, told, members, note, intervals)


def _of_place(
    at: Mapping[str, Any],
    protocol: str,
    told: OfSets,
    members: Sequence[str],
    note: str,
    intervals: Intervals,
) -> Iterator[Measurement]:
    """The metrics over a set, or their means over several, each with its interval."""
    for metric in told.metrics:
        text = "; ".join(filter(None, [protocol, CONVENTIONS[metric], note]))
        number = Measurement(metric, told.mean(metric, members), "fraction", at, text)
        yield beside(
            number, intervals.of_ranking(metric, number.value, told.resampled(metric, members))
        )
