"""Every detector over the test set and over sets of outliers: one pass a set, one set at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.ood.detectors.detector import Named, Scores, counts, fits
from sdd_eval.evaluators.settings import training_key

if TYPE_CHECKING:
    import torch

    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Subject

Array = NDArray[np.float64]

#: What scores of validation images are called among an evaluator's arrays.
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Found:
    """By detector: scores of the test set, of each set of outliers by name, and what was counted.

    Scores are (n,), or (n, columns) of a detector with variants.
    """

    inside: Mapping[str, Array]
    outside: Mapping[str, Mapping[str, Array]]
    counts: Mapping[str, Mapping[str, int]]


def score_sets(
    subject: Subject, detectors: Sequence[Named], outliers: Sequence[str], training: str = ""
) -> Found:
    """Scores of each detector; `training` names the set whose training images some are fitted on.

    Raises:
        InputError: no outliers, an empty set, a network that gives NaN or has one class, or what a
            detector refuses.
    """
    if not outliers:
        raise InputError("--outliers is empty; name at least one set of images")
    if subject.spec.classes < 2:
        raise InputError("the network has one class; detectors need two or more")
    scorers = _fitted(subject, detectors, training)
    inside = subject.kept("test set", partial(_scores, subject, subject.data, scorers))
    outside: dict[str, dict[str, Array]] = {name: {} for name in scorers}
    for name in outliers:
        score = partial(_scores, subject, subject.sets[name], scorers)
        for detector, scores in subject.kept(f"outliers {name}", score).items():
            outside[detector][name] = scores
    return Found(inside, outside, {name: counts(each) for name, each in scorers.items()})


def held_out_scores(subject: Subject, detector: Any, validation_set: str) -> Array:
    """Scores (n,) or (n, columns), by a detector that is not fitted, of the held-out images."""
    scores = partial(_scores, subject, subject.sets[validation_set], {detector.name: detector})
    found: Array = subject.kept(f"held out {validation_set}", scores)[detector.name]
    return found


def _fitted(subject: Subject, detectors: Sequence[Named], training: str) -> dict[str, Scores]:
    """What scores images, by detector; the training images are looked at once, if at all."""
    seen = None
    if any(map(fits, detectors)):
        from sdd_eval.evaluators.ood.detectors.training import look_at

        seen = look_at(subject, subject.sets[training_key(training)])
    scorers: dict[str, Any] = {}
    for each in detectors:
        detector: Any = each
        scorers[detector.name] = detector.fit(seen) if fits(detector) else detector
    return scorers


def _scores(subject: Subject, images: ImageSet, scorers: Mapping[str, Scores]) -> dict[str, Array]:
    """Scores of a set by detector, batch by batch."""
    import torch

    total = len(subject.indices(images))
    if total == 0:
        raise InputError(f"{images.name} has no images")
    subject.progress.start(images.name, total)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in scorers}
    for batch in subject.batches(images):
        for name, scorer in scorers.items():
            found[name].append(scorer.scores(batch).double())
        subject.progress.advance(len(found[name][-1]))
    scores = {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
    for name, array in scores.items():
        missing = int(np.isnan(array.reshape(total, -1)).any(axis=1).sum())
        if missing:
            raise InputError(f"the network gives NaN for {missing} of {total} images ({name})")
    return scores
