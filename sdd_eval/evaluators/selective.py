"""Selective prediction: the risk of a classifier that rejects low-confidence images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.settings import collects
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.metrics.selective import SCORES, Cell, confidence_scores, selective_statistic
from sdd_eval.statistics.statistic import Quantity, Statistic

if TYPE_CHECKING:
    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.evaluators.subject import Subject

#: The definition of each confidence score.
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
#: Metrics that are always defined, and those that need both correct and wrong predictions.
ALWAYS = tuple(name for name in CONVENTIONS if not name.startswith("misclassification"))
SEPARATION = tuple(name for name in CONVENTIONS if name.startswith("misclassification"))


@dataclass(frozen=True)
class Selective(Evaluator):
    """Selective prediction and misclassification detection with four confidence scores."""

    name: ClassVar[str] = "selective"
    version: ClassVar[int] = 2
    from_logits: ClassVar[bool] = True

    corrupted: str = collects("", loads="corruptions", optional=True)
    """Corrupted version of the test set to evaluate in addition; default: none."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `correct` (images,) bool and `scores` (images, score) float64, as in `SCORES`.

        With a corrupted set, also return `correct` (images, severity) and `scores` (images,
        severity, score) for each `corruption`, and the fact `origin`, a description of where the
        set comes from.

        Raises:
            InputError: fewer than two classes, a NaN or infinite logit, or a corrupted set that
                does not correspond to the test set.
        """
        labels = subject.labels()
        correct, confidence = _correct_and_scores(subject.logits(), labels)
        arrays = [
            Array("correct", correct),
            Array("scores", confidence, ("images", "score"), labels={"score": SCORES}),
        ]
        if not self.corrupted:
            return Arrays(arrays)
        corrupted = subject.corrupted(self.corrupted)
        along = {"severity": SEVERITIES, "score": SCORES}
        for name in corrupted.corruptions:
            cells = [_cell(subject, corrupted, name, severity) for severity in SEVERITIES]
            correct, confidence = (np.stack(parts, axis=1) for parts in zip(*cells, strict=True))
            axes, at = ("images", *along), {"corruption": name}
            of_severity = {"severity": SEVERITIES}
            arrays.append(Array("correct", correct, axes[:2], at, of_severity))
            arrays.append(Array("scores", confidence, axes, at, along))
        recipe = getattr(corrupted, "recipe", 1)
        origin = f"{corrupted.provenance}{f' by recipe {recipe}' if recipe > 1 else ''}"
        return Arrays(arrays, origin=f"{origin}, {corrupted.frost} frost")

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the metrics of each score (axis `score`) on clean and on corrupted images.

        On corrupted images, these are means over the five severities of each corruption and, if all
        15 corruptions are available, means over these at each severity and overall. AUROC and FPR
        are undefined if all predictions are correct or all are wrong, and so is a mean over such a
        cell.
        """
        scores, correct = arrays["scores"], arrays["correct"]
        rendered = arrays.along("scores", "corruption")
        right = arrays.along("correct", "corruption")
        for column, score in enumerate(SCORES):
            clean = Cell(scores[:, column], correct)
            for metrics in (ALWAYS, SEPARATION):
                if set(metrics) <= clean.values.keys():
                    quantities = [_quantity(metric, score, {}) for metric in metrics]
                    yield selective_statistic(quantities, [clean])
            cells = {
                (name, severity): Cell(values[:, index, column], right[name][:, index])
                for name, values in rendered.items()
                for index, severity in enumerate(SEVERITIES)
            }
            for at, mean, over in _groups(list(rendered)):
                note, of_group = f"{mean} ({arrays.facts['origin']})", [cells[i] for i in over]
                for metric in CONVENTIONS:
                    if all(metric in cell.values for cell in of_group):
                        yield selective_statistic([_quantity(metric, score, at, note)], of_group)


def _groups(
    names: Sequence[str],
) -> Iterator[tuple[Mapping[str, Any], str, list[tuple[str, int]]]]:
    """Yield axes, description and cells of the means over severities, the 15, and both."""
    for name in names:
        yield {"corruption": name}, "mean of severities 1–5", list(product([name], SEVERITIES))
    if set(FIFTEEN) <= set(names):
        at = {"corruption": "mean of 15"}
        for severity in SEVERITIES:
            cells = list(product(FIFTEEN, [severity]))
            yield {**at, "severity": severity}, "mean over 15 corruptions", cells
        whole = list(product(FIFTEEN, SEVERITIES))
        yield at, "mean over 15 corruptions × 5 severities", whole


def _quantity(metric: str, score: str, at: Mapping[str, Any], mean: str = "") -> Quantity:
    protocol = {
        "score": f"surest first by {MEANINGS[score]}",
        "definition": CONVENTIONS[metric],
        "mean": mean,
    }
    return Quantity(metric, "fraction", {"score": score, **at}, protocol)


def _cell(
    subject: Subject, corrupted: CorruptedSet, name: str, severity: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return correctness (n,) and scores (n, 4) for the test set under a corruption."""
    cell, note = subject.cell(corrupted, name, severity), f"{name} {severity}"
    subject.progress.start(note, len(subject.indices()))
    cells = len(corrupted.corruptions) * len(SEVERITIES)
    logits = subject.cell_logits(cell, note, cells).cpu().numpy()
    return _correct_and_scores(logits, subject.labels())


def _correct_and_scores(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return correctness (n,) and scores (n, 4) from logits (n, classes)."""
    correct: NDArray[np.bool_] = logits.argmax(axis=1) == labels
    return correct, confidence_scores(logits)
