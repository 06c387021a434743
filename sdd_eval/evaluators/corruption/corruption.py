"""How much accuracy and calibration is left when the images are corrupted?

Per cell, a corruption at a severity, per corruption, and in means over the benchmark's sets: mCA,
ECE, and mCE against a baseline that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.corruption.baseline import baseline_rows
from sdd_eval.evaluators.corruption.cell_metrics import NAMES, Source, rows
from sdd_eval.evaluators.corruption.cells import CLEAN, CONFIDENCE, CORRECT, MISSING, cells_of
from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.settings import arrays_of, collects, scores
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.corruption import FIFTEEN, NINETEEN, SEVERITIES
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Arrays, Subject

    #: Confidences (n, 5) float32, what is right (n, 5) bool, and (5,) why a cell is missing.
    Seen = tuple[NDArray[np.float32], NDArray[np.bool_], list[str]]


@dataclass(frozen=True)
class Corruption:
    """Accuracy and ECE under common corruptions at severities 1 to 5, mCA, and mCE."""

    name: ClassVar[str] = "corruption"
    version: ClassVar[int] = 2

    corrupted: str = collects("", loads="corruptions")
    """Corrupted rendering of the test set; default: the one of its name."""
    corruptions: tuple[str, ...] = collects(())
    """Corruptions to look at; default: the 15 and what else is there. A mean needs all of its
    set."""
    bins: int = scores(10)
    """Number M of bins of confidence, of equal widths."""
    baseline: tuple[str, ...] = scores((), loads="run", optional=True)
    """Checkpoints (the seeds of one method) whose errors mCE is relative to; default: no mCE.
    Their own run of this evaluator is used, and made first where it is not there."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    def collect(self, subject: Subject) -> Arrays:
        """`correct_NAME` (n, 5) bool and `confidence_NAME` (n, 5) float32, by severity.

        The confidence is the largest softmax probability at T = 1. Where something of a corruption
        could not be looked at, `missing_NAME` (n, 5) says why, and its confidence is NaN.
        `correct_clean` and `confidence_clean` (n,) are of the images as they are; `frost` and
        `origin` (n,) say where the set's frost and the set itself are from.

        Raises:
            InputError: no corruption can be looked at, NaN or infinite logits, or fewer than one
                bin.
        """
        if self.bins < 1:
            raise InputError(f"--bins is {self.bins}; at least 1 is needed")
        rendering = subject.corrupted(self.corrupted)
        labels, names = subject.labels(), self._chosen(rendering)
        confidence, correct = confidence_and_correct(subject.logits(), labels)
        arrays: Arrays = {CORRECT + CLEAN: correct, CONFIDENCE + CLEAN: confidence.astype("f4")}
        cells = len(names) * len(SEVERITIES)
        subject.progress.start(rendering.name, cells * len(labels))
        reasons = []
        for name in names:
            confidences, rights, missing = _seen(subject, rendering, name, labels, cells)
            arrays[CONFIDENCE + name], arrays[CORRECT + name] = confidences, rights
            if any(missing):
                arrays[MISSING + name] = np.tile(missing, (len(labels), 1))
            reasons += missing
        if all(reasons):
            raise InputError(f"no cell of {rendering.name} could be looked at: {reasons[0]}")
        arrays["frost"] = np.full(len(labels), rendering.frost)
        arrays["origin"] = np.full(len(labels), rendering.provenance)
        return arrays

    def _chosen(self, rendering: CorruptedSet) -> tuple[str, ...]:
        """The corruptions to look at: what is not there, or broken, is among them."""
        if rendering.frost not in NAMES:
            raise unknown_name("kind of frost", rendering.frost, NAMES)
        for name in self.corruptions:
            if name not in (*rendering.corruptions, *NINETEEN):
                raise unknown_name(f"corruption of {rendering.name}", name, rendering.corruptions)
        if not rendering.corruptions:
            raise InputError(f"{rendering.name} has no corruption; `sdd-eval data check` says more")
        broken = [name for name in getattr(rendering, "broken", {}) if name in NINETEEN]
        expected = (*FIFTEEN, *rendering.corruptions, *broken)
        return tuple(dict.fromkeys(self.corruptions or expected))

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """`accuracy` and `ece` per cell and per corruption, and means over complete sets.

        Where a corruption has `missing` severities, so has every mean that it would be in. Against
        a baseline also the rows of `corruption_baseline`.
        """
        source = Source(str(arrays["origin"][0]), str(arrays["frost"][0]))
        cells = cells_of(arrays)
        found = list(rows(cells, source, self.bins, self.intervals))
        if self.baseline:
            theirs = {name: cells_of(arrays_of(name, arrays)) for name in self.baseline}
            found += baseline_rows(cells, theirs, source, self.intervals)
        return found


def _seen(
    subject: Subject, rendering: CorruptedSet, name: str, labels: NDArray[np.int64], cells: int
) -> Seen:
    """A corruption, one of so many cells, at its severities; a broken one costs itself only."""
    confidences = np.full((len(labels), len(SEVERITIES)), np.nan, dtype=np.float32)
    rights = np.zeros(confidences.shape, dtype=bool)
    reasons = [""] * len(SEVERITIES)
    for index, severity in enumerate(SEVERITIES):
        note = f"{name} {severity}"
        try:
            cell = rendering.cell(name, severity)
            _check_fit(cell, subject.data, note)
            found = subject.kept(note, partial(_looked_at, subject, cell, note, cells))
        except InputError as error:
            reasons[index] = str(error)
            continue
        confidence, predicted = found["confidence"], found["predicted"]
        strange = int(np.isnan(confidence).sum())
        if strange:
            raise InputError(
                f"{note}: the logits of {strange} of {len(labels)} images are NaN or infinite; "
                "every one must be finite"
            )
        confidences[:, index], rights[:, index] = confidence, predicted == labels
    return confidences, rights, reasons


def _looked_at(subject: Subject, cell: ImageSet, note: str, cells: int) -> Arrays:
    """`confidence` (n,) float32 and `predicted` class (n,), of the same images as the clean set's.

    All stays on the device until the cell is through. NaN where a logit is NaN or infinite.
    """
    import torch

    from sdd_eval.evaluators.inference import cell_logits

    sure, classes = [], []
    with torch.no_grad():
        found = cell_logits(subject, cell, note, cells)
        for start in range(0, len(found), subject.batch_size):
            logits = found[start : start + subject.batch_size].double()
            largest = logits.max(dim=1)
            confidence = 1 / (logits - largest.values[:, None]).exp_().sum(dim=1)
            finite = logits.isfinite().all(dim=1)
            sure.append(torch.where(finite, confidence, torch.nan))
            classes.append(largest.indices)
    return {
        "confidence": torch.cat(sure).float().cpu().numpy(),
        "predicted": torch.cat(classes).cpu().numpy(),
    }


def _check_fit(cell: ImageSet, clean: ImageSet, note: str) -> None:
    """Refuse a cell that is no rendering of the clean images."""
    if len(cell) != len(clean):
        raise InputError(
            f"{note} of {cell.name} has {len(cell)} images, {clean.name} has {len(clean)}"
        )
    if cell.labels is not None and not np.array_equal(cell.labels, clean.labels):  # type: ignore[arg-type]
        raise InputError(f"the labels of {cell.name} are not those of {clean.name}")
