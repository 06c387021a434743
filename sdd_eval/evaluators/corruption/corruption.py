"""Accuracy and calibration under common corruptions.

For each cell (a corruption at a severity), for each corruption, and as means over the benchmark's
sets: mCA, ECE, and mCE relative to a named baseline.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval.arrays import Array, Arrays
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators import pictures
from sdd_eval.evaluators.corruption.cell_metrics import (
    FROST,
    Source,
    baseline_statistics,
    cell_statistics,
)
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.corruption import FIFTEEN, NINETEEN, SEVERITIES
from sdd_eval.statistics.statistic import Statistic
from sdd_eval.validation import BINS

if TYPE_CHECKING:
    from sdd_eval.data.dataset import CorruptedSet
    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Subject


@dataclass(frozen=True)
class Corruption(Evaluator):
    """Accuracy and ECE under common corruptions at severities 1 to 5, mCA, and mCE."""

    name: ClassVar[str] = "corruption"
    version: ClassVar[int] = 2

    corrupted: str = collects("", loads="corruptions")
    """Corrupted version of the test set; default: the corrupted set that belongs to the test set,
    e.g. cifar100_c."""
    corruptions: tuple[str, ...] = collects(())
    """Corruptions to evaluate; default: all that are available. A mean over the 15 or 19
    corruptions is reported only if all of them are evaluated."""
    bins: int = scores(10, bound=BINS)
    """Number of confidence bins, of equal width."""
    baseline: tuple[str, ...] = scores((), loads="run", optional=True)
    """Baseline checkpoints of the mCE (the seeds of one method); default: no mCE. Their runs of
    this evaluator are reused, or computed first if missing."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `correct` bool and `confidence` float32, the largest softmax probability at T = 1.

        Their shape is (images,) for the uncorrupted images and (images, severity) for each
        `corruption`. The fact `missing` states, for each corruption with missing cells, why they
        are missing, by severity; their confidence is NaN. `frost` and `origin` are the origins of
        the set's frost images and of the set, `recipe` is the version of the recipe if this package
        rendered the set. Pictures of one image under each corruption are included.

        Raises:
            InputError: no cell can be measured, or a logit is NaN or infinite.
        """
        corrupted = subject.corrupted(self.corrupted)
        labels, names = subject.labels(), self._names(corrupted)
        confidence, correct = confidence_and_correct(subject.logits(), labels)
        clean = [Array("correct", correct), Array("confidence", confidence.astype("f4"))]
        arrays, missing = Arrays(clean), {}
        cells = len(names) * len(SEVERITIES)
        subject.progress.start(corrupted.name, cells * len(labels))
        for name in names:
            measured, reasons = _measured(subject, corrupted, name, labels, cells)
            arrays |= measured.at(corruption=name)
            if any(reasons):
                missing[name] = reasons
        if len(missing) == len(names) and all(map(all, missing.values())):
            reason = missing[names[0]][0]
            raise InputError(f"no cell of {corrupted.name} can be measured: {reason}")
        facts = {"frost": corrupted.frost, "origin": corrupted.provenance, "missing": missing}
        if hasattr(corrupted, "recipe"):
            facts["recipe"] = corrupted.recipe
        return arrays | Arrays(**facts) | _pictures(subject, corrupted, names)

    def _names(self, corrupted: CorruptedSet) -> tuple[str, ...]:
        """Return the corruptions to evaluate, including missing and damaged ones."""
        if corrupted.frost not in FROST:
            raise unknown_name("kind of frost", corrupted.frost, FROST)
        for name in self.corruptions:
            if name not in (*corrupted.corruptions, *NINETEEN):
                raise unknown_name(f"corruption of {corrupted.name}", name, corrupted.corruptions)
        if not corrupted.corruptions:
            raise InputError(f"{corrupted.name} has no corruption; `sdd-eval data check` says why")
        broken = [name for name in getattr(corrupted, "broken", {}) if name != "labels"]
        named = (*corrupted.corruptions, *broken)
        expected = (*(FIFTEEN if set(named) & set(NINETEEN) else ()), *named)
        return tuple(dict.fromkeys(self.corruptions or expected))

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield `accuracy` and `ece` for each cell and corruption, and means over complete sets.

        Corruptions with `missing` severities are excluded from all means. With a baseline, errors
        relative to it are included (`baseline_statistics`).
        """
        facts = arrays.facts
        source = Source(facts["origin"], facts["frost"], facts.get("recipe", 1))
        yield from cell_statistics(arrays, source, self.bins)
        if self.baseline:
            baseline = {name: arrays.compared.get(name) or None for name in self.baseline}
            yield from baseline_statistics(arrays, baseline, source)


def _measured(
    subject: Subject, corrupted: CorruptedSet, name: str, labels: NDArray[np.int64], cells: int
) -> tuple[Arrays, list[str]]:
    """Return the arrays of a corruption, and why cells are missing; `cells` is their number."""
    confidences = np.full((len(labels), len(SEVERITIES)), np.nan, dtype=np.float32)
    corrects = np.zeros(confidences.shape, dtype=bool)
    reasons = [""] * len(SEVERITIES)
    for index, severity in enumerate(SEVERITIES):
        note = f"{name} {severity}"
        try:
            cell = subject.cell(corrupted, name, severity)
            values = subject.stored(note, partial(_predictions, subject, cell, note, cells))
        except InputError as error:
            reasons[index] = str(error)
            continue
        confidence, predicted = values["confidence"], values["predicted"]
        broken = int(np.isnan(confidence).sum())
        if broken:
            raise InputError(
                f"{note}: the logits of {broken} of {len(labels)} images are NaN or infinite; "
                "every one must be finite"
            )
        confidences[:, index], corrects[:, index] = confidence, predicted == labels
    axes, along = ("images", "severity"), {"severity": SEVERITIES}
    tables = {"correct": corrects, "confidence": confidences}
    return Arrays(Array(k, v, axes, labels=along) for k, v in tables.items()), reasons


def _pictures(subject: Subject, corrupted: CorruptedSet, names: Sequence[str]) -> Arrays:
    """Return pictures of the first test image, clean and under each available corruption."""
    if not subject.pictures:
        return Arrays()
    pixels, rows, labels = pictures.first_image(subject)
    arrays = pictures.of_pixels(subject, "corruption", pictures.CLEAN, pixels, rows, labels)
    for name in names:
        with contextlib.suppress(InputError):
            cell = subject.cell(corrupted, name, pictures.SEVERITY)
            arrays |= pictures.of_images(subject, "corruption", name, cell, rows, labels)
    return arrays


def _predictions(
    subject: Subject, cell: ImageSet, note: str, cells: int
) -> Mapping[str, NDArray[Any]]:
    """Return `confidence` (n,), NaN if a logit is not finite, and `predicted` (n,) of a cell."""
    import torch

    confidences, classes = [], []
    with torch.no_grad():
        outputs = subject.cell_logits(cell, note, cells)
        for start in range(0, len(outputs), subject.batch_size):
            logits = outputs[start : start + subject.batch_size].double()
            largest = logits.max(dim=1)
            confidence = 1 / (logits - largest.values[:, None]).exp_().sum(dim=1)
            finite = logits.isfinite().all(dim=1)
            confidences.append(torch.where(finite, confidence, torch.nan))
            classes.append(largest.indices)
    return {
        "confidence": torch.cat(confidences).float().cpu().numpy(),
        "predicted": torch.cat(classes).cpu().numpy(),
    }
