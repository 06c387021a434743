"""Does the classifier know when it is wrong? Selective prediction: answer only where sure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, beside
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

#: What each score is, to stand beside the numbers that it gave.
MEANINGS = {
    "msp": "largest softmax probability at T = 1, ranked by its log-odds, which do not saturate",
    "max_logit": "largest logit",
    "energy": "log Σ exp of the logits, T = 1",
    "entropy": "minus the entropy of the softmax at T = 1",
}
#: What each metric is.
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
    """Risk and coverage, and right against wrong, by four scores of confidence."""

    name: ClassVar[str] = "selective"
    version: ClassVar[int] = 2

    corrupted: str = collects("", loads="corruptions", optional=True)
    """Corrupted rendering of the test set to measure as well; default: none."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    def collect(self, subject: Subject) -> Arrays:
        """`correct` (n,) bool and `scores` (n, 4) float64, a column each for `SCORES`.

        With a corrupted set also `correct_in_NAME` (n, 5) and `scores_in_NAME` (n, 5, 4) of each
        corruption, by severity, and `origin` (n,), which says how far that set is the publisher's.

        Raises:
            InputError: fewer than two classes, NaN or infinite logits, or a corrupted set that is
                no rendering of the test set.
        """
        labels = subject.labels()
        correct, scores = _scored(subject.logits(), labels)
        arrays: Arrays = {"correct": correct, "scores": scores}
        if self.corrupted:
            rendering = subject.corrupted(self.corrupted)
            for name in rendering.corruptions:
                cells = [
                    _scored(_logits_of(subject, rendering, name, severity), labels)
                    for severity in SEVERITIES
                ]
                arrays[f"correct{CELL}{name}"] = np.stack([right for right, _ in cells], axis=1)
                arrays[f"scores{CELL}{name}"] = np.stack([sure for _, sure in cells], axis=1)
            arrays["origin"] = np.full(
                len(labels), f"{rendering.provenance}, {rendering.frost} frost"
            )
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """The metrics of each score (axis `score`) on the test set, and on corrupted images.

        Of corrupted images: means over the five severities of each corruption, and over the 15
        corruptions at each severity and in all, where all 15 are there. AUROC and FPR are missing
        where all images are right, or all wrong, and so is a mean that such a cell is in.
        """
        found: list[Measurement] = []
        for column, score in enumerate(SCORES):
            clean = _Told({"": (arrays["scores"][:, column], arrays["correct"])}, self.intervals)
            found += clean.rows([""], {"score": score})
            cells = _cells(arrays, column)
            if cells:
                source = f" ({arrays['origin'][0]})"
                found += _means(_Told(cells, self.intervals), score, source)
        return found


#: By cell the scores (n,) and what is right (n,); the clean images are a cell of their own.
Cells = Mapping[Any, tuple[NDArray[Any], NDArray[Any]]]


def _logits_of(
    subject: Subject, rendering: CorruptedSet, name: str, severity: int
) -> NDArray[np.float32]:
    """Logits (n, classes) of one rendering of the test set."""
    from sdd_eval.evaluators.inference import cell_logits

    cell, clean, note = rendering.cell(name, severity), subject.data, f"{name} {severity}"
    if len(cell) != len(clean):
        raise InputError(f"{note} has {len(cell)} images, {clean.name} has {len(clean)}")
    if cell.labels is not None and not np.array_equal(cell.labels, clean.labels):  # type: ignore[arg-type]
        raise InputError(f"the labels of {cell.name} are not those of {clean.name}")
    subject.progress.start(note, len(subject.indices()))
    cells = len(rendering.corruptions) * len(SEVERITIES)
    logits: NDArray[np.float32] = cell_logits(subject, cell, note, cells).cpu().numpy()
    return logits


def _scored(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """What is right (n,), and the scores (n, 4), of logits (n, classes)."""
    correct: NDArray[np.bool_] = logits.argmax(axis=1) == labels
    return correct, confidence_scores(logits)


def _cells(arrays: Mapping[str, NDArray[Any]], column: int) -> Cells:
    """The scores and what is right, of each corruption at each severity."""
    return {
        (name.removeprefix(f"scores{CELL}"), severity): (
            arrays[name][:, index, column],
            arrays[name.replace("scores", "correct", 1)][:, index],
        )
        for name in arrays
        if name.startswith(f"scores{CELL}")
        for index, severity in enumerate(SEVERITIES)
    }


class _Told:
    """The metrics of one score in every cell, on these images and on resampled ones.

    An image is drawn with all its renderings, as they are right and wrong together.
    """

    def __init__(self, cells: Cells, intervals: Intervals) -> None:
        self.values = {cell: selective_metrics(*pair) for cell, pair in cells.items()}
        self.cells, self.intervals = cells, intervals
        makers = [weighted_selective_metrics(*pair) for pair in cells.values()]

        def quantity(weights: Weights) -> Floats:
            found = [make(weights) for make in makers]
            return np.stack([np.stack([f[m] for m in CONVENTIONS], axis=-1) for f in found], axis=1)

        images = len(next(iter(cells.values()))[1])
        self.found = intervals.replicates(quantity, images, images * len(cells))

    def rows(
        self, members: Sequence[Any], at: Mapping[str, Any], note: str = ""
    ) -> Iterator[Measurement]:
        """Means over some cells of each metric that every one of them has.

        A mean of coverages at a risk has no interval: see `coverage_interval`.
        """
        meaning, places = MEANINGS[at["score"]], [list(self.values).index(m) for m in members]
        for index, (metric, convention) in enumerate(CONVENTIONS.items()):
            values = [self.values[m][metric] for m in members if metric in self.values[m]]
            if len(values) == len(members):
                protocol = f"surest first by {meaning}; {convention}{note}"
                number = Measurement(metric, float(np.mean(values)), "fraction", at, protocol)
                if metric in COVERAGE_RISKS:
                    yield self._of_coverage(number, members)
                    continue
                found = self.found[:, places, index].mean(axis=1)
                yield beside(number, self.intervals.of_ranking(metric, number.value, found))

    def _of_coverage(self, number: Measurement, members: Sequence[Any]) -> Measurement:
        """A coverage at a risk, with its interval where it is of one cell."""
        if len(members) > 1:
            return number
        scores, correct = self.cells[members[0]]
        at = operating_points(scores[correct], scores[~correct])
        accepted, risk = at.inliers + at.outliers, COVERAGE_RISKS[number.metric]
        found = coverage_interval(accepted, at.outliers, risk, len(scores), self.intervals.level)
        return beside(number, found)


def _means(told: _Told, score: str, source: str) -> Iterator[Measurement]:
    """Means over the severities of a corruption, over the 15 at a severity, and over all."""
    names = dict.fromkeys(name for name, _ in told.values)
    for name in names:
        at = {"score": score, "corruption": name}
        of_name = [(name, severity) for severity in SEVERITIES]
        yield from told.rows(of_name, at, f"; mean of severities 1–5{source}")
    if set(FIFTEEN) <= set(names):
        at = {"score": score, "corruption": "mean of 15"}
        for severity in SEVERITIES:
            of_severity = [(name, severity) for name in FIFTEEN]
            here = {**at, "severity": severity}
            yield from told.rows(of_severity, here, f"; mean over 15 corruptions{source}")
        every = [(name, severity) for name in FIFTEEN for severity in SEVERITIES]
        yield from told.rows(every, at, f"; mean over 15 corruptions × 5 severities{source}")
