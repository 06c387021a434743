"""Selective prediction: the risk of a classifier that rejects images of low confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import INTERVALS, Intervals, with_interval
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.metrics.ranking import operating_points
from sdd_eval.metrics.selective import (
    COVERAGE_RISKS,
    SCORES,
    confidence_scores,
    selective_metrics,
    weighted_selective_metrics,
)
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats, Weights
from sdd_eval.statistics.intervals import coverage_interval

if TYPE_CHECKING:
    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.evaluators.subject import Arrays, Subject

#: The definition of each score of confidence.
MEANINGS = {
    "msp": "largest softmax probability at T = 1, ranked by its log-odds, which do not saturate",
    "max_logit": "largest logit",
    "energy": "log Σ exp of the logits, T = 1",
    "entropy": "minus the entropy of the softmax at T = 1",
}
#: The convention of each metric.
CONVENTIONS = {
    "aurc": "mean over k of the share of wrong images among the k surest",
    "aurc_excess": "AURC less that of the best order with the same accuracy",
    "augrc": "area under the share of all images that are accepted and wrong, over coverage",
    "coverage_at_1_percent_risk": "largest share of images accepted with at most 1 % of them wrong",
    "coverage_at_5_percent_risk": "largest share of images accepted with at most 5 % of them wrong",
    "misclassification_auroc": "right images positive",
    "misclassification_fpr_at_95_tpr": "right images positive; share of wrong ones at the highest "
    "threshold that ≥ 95 % of the right ones reach, no interpolation",
}
CELL = "_in_"


@dataclass(frozen=True)
class Selective:
    """Risk and coverage, and misclassification detection, by four scores of confidence."""

    name: ClassVar[str] = "selective"
    version: ClassVar[int] = 2

    corrupted: str = collects("", loads="corruptions", optional=True)
    """Corrupted version of the test set to measure as well; default: none."""
    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `correct` (n,) bool and `scores` (n, 4) float64, a column for each of `SCORES`.

        With a corrupted set also `correct_in_NAME` (n, 5) and `scores_in_NAME` (n, 5, 4) of each
        corruption, by severity, and `origin` (n,), the origin of that set.

        Raises:
            InputError: fewer than two classes, a NaN or infinite logit, or a corrupted set that
                does not correspond to the test set.
        """
        labels = subject.labels()
        correct, confidence = _correct_and_scores(subject.logits(), labels)
        arrays: Arrays = {"correct": correct, "scores": confidence}
        if self.corrupted:
            corrupted = subject.corrupted(self.corrupted)
            for name in corrupted.corruptions:
                cells = [
                    _correct_and_scores(_logits_of(subject, corrupted, name, severity), labels)
                    for severity in SEVERITIES
                ]
                arrays[f"correct{CELL}{name}"] = np.stack([cell[0] for cell in cells], axis=1)
                arrays[f"scores{CELL}{name}"] = np.stack([cell[1] for cell in cells], axis=1)
            recipe = getattr(corrupted, "recipe", 1)
            origin = f"{corrupted.provenance}{f' by recipe {recipe}' if recipe > 1 else ''}"
            arrays["origin"] = np.full(len(labels), f"{origin}, {corrupted.frost} frost")
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Return the metrics of each score (axis `score`), on clean and on corrupted images.

        On corrupted images: means over the five severities of each corruption, and over the 15
        corruptions, at each severity and in all, if all 15 are available. AUROC and FPR are
        undefined if all images are correct or all are wrong, and so is a mean over such a cell.
        """
        rows: list[Measurement] = []
        for column, score in enumerate(SCORES):
            clean = {"": (arrays["scores"][:, column], arrays["correct"])}
            rows += _CellMetrics(clean, self.intervals).rows([""], {"score": score})
            cells = _cells(arrays, column)
            if cells:
                source = f" ({arrays['origin'][0]})"
                rows += _means(_CellMetrics(cells, self.intervals), score, source)
        return rows


#: The scores (n,) and correctness (n,) of each cell; the clean images are a cell of their own.
Cells = Mapping[Any, tuple[NDArray[Any], NDArray[Any]]]


def _logits_of(
    subject: Subject, corrupted: CorruptedSet, name: str, severity: int
) -> NDArray[np.float32]:
    """Return logits (n, classes) of the test set under a corruption."""
    cell, note = subject.cell(corrupted, name, severity), f"{name} {severity}"
    subject.progress.start(note, len(subject.indices()))
    cells = len(corrupted.corruptions) * len(SEVERITIES)
    logits: NDArray[np.float32] = subject.cell_logits(cell, note, cells).cpu().numpy()
    return logits


def _correct_and_scores(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return correctness (n,) and scores (n, 4) from logits (n, classes)."""
    correct: NDArray[np.bool_] = logits.argmax(axis=1) == labels
    return correct, confidence_scores(logits)


def _cells(arrays: Mapping[str, NDArray[Any]], column: int) -> Cells:
    """Return a score and correctness by corruption and severity."""
    return {
        (name.removeprefix(f"scores{CELL}"), severity): (
            arrays[name][:, index, column],
            arrays[name.replace("scores", "correct", 1)][:, index],
        )
        for name in arrays
        if name.startswith(f"scores{CELL}")
        for index, severity in enumerate(SEVERITIES)
    }


class _CellMetrics:
    """The metrics of one score in each cell, and in resamples of the images.

    A resampled image is drawn with all its corrupted versions, as their errors are correlated.
    """

    def __init__(self, cells: Cells, intervals: Intervals) -> None:
        self.values = {cell: selective_metrics(*pair) for cell, pair in cells.items()}
        self.cells, self.intervals = cells, intervals
        weighted = [weighted_selective_metrics(*pair) for pair in cells.values()]

        def quantity(weights: Weights) -> Floats:
            found = [measure(weights) for measure in weighted]
            return np.stack([np.stack([f[m] for m in CONVENTIONS], axis=-1) for f in found], axis=1)

        images = len(next(iter(cells.values()))[1])
        self.resamples = intervals.replicates(quantity, images, images * len(cells))

    def rows(
        self, over: Sequence[Any], at: Mapping[str, Any], note: str = ""
    ) -> Iterator[Measurement]:
        """Yield the means over some cells of each metric that is defined in all of them.

        A mean of coverages at a risk has no interval, see `coverage_interval`.
        """
        meaning, columns = MEANINGS[at["score"]], [list(self.values).index(cell) for cell in over]
        for index, (metric, convention) in enumerate(CONVENTIONS.items()):
            values = [self.values[cell][metric] for cell in over if metric in self.values[cell]]
            if len(values) == len(over):
                protocol = f"surest first by {meaning}; {convention}{note}"
                number = Measurement(metric, float(np.mean(values)), "fraction", at, protocol)
                if metric in COVERAGE_RISKS:
                    yield self._coverage(number, over)
                    continue
                means = self.resamples[:, columns, index].mean(axis=1)
                interval = self.intervals.of_ranking(metric, number.value, means)
                yield with_interval(number, interval)

    def _coverage(self, number: Measurement, over: Sequence[Any]) -> Measurement:
        """Return a coverage at a risk, with its interval if it is of one cell."""
        if len(over) > 1:
            return number
        scores, correct = self.cells[over[0]]
        points = operating_points(scores[correct], scores[~correct])
        accepted, risk = points.inliers + points.outliers, COVERAGE_RISKS[number.metric]
        level = self.intervals.level
        interval = coverage_interval(accepted, points.outliers, risk, len(scores), level)
        return with_interval(number, interval)


def _means(metrics: _CellMetrics, score: str, source: str) -> Iterator[Measurement]:
    """Yield means over the severities of a corruption, the 15 at a severity, and all cells."""
    names = dict.fromkeys(name for name, _ in metrics.values)
    for name in names:
        at = {"score": score, "corruption": name}
        of_name = [(name, severity) for severity in SEVERITIES]
        yield from metrics.rows(of_name, at, f"; mean of severities 1–5{source}")
    if set(FIFTEEN) <= set(names):
        at = {"score": score, "corruption": "mean of 15"}
        for severity in SEVERITIES:
            of_severity = [(name, severity) for name in FIFTEEN]
            note = f"; mean over 15 corruptions{source}"
            yield from metrics.rows(of_severity, {**at, "severity": severity}, note)
        cells = [(name, severity) for name in FIFTEEN for severity in SEVERITIES]
        yield from metrics.rows(cells, at, f"; mean over 15 corruptions × 5 severities{source}")
