"""Out-of-distribution detection by any detectors: scores of the test set and of OOD sets.

All detectors share one forward pass over each set, except ODIN, whose step needs further passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval import evaluators, plugins
from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.ood import detectors
from sdd_eval.evaluators.ood.array_names import VALIDATION, ArrayName
from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.detectors.detector import Named, Scorer, counts, fits
from sdd_eval.evaluators.ood.ranking import Tables, detector_statistics, grid_statistics
from sdd_eval.evaluators.settings import collects, scores, training_key
from sdd_eval.statistics.statistic import Quantity, Statistic, unpaired

if TYPE_CHECKING:
    import torch

    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.ood.detectors.batch import Training
    from sdd_eval.evaluators.subject import Arrays, Subject

Scores = NDArray[np.float64]

#: Why a count made when fitting a detector has no paired test.
ONE_COUNT = "it is a count made when fitting, not a sum over these images"


@dataclass(frozen=True)
class Ood(Evaluator):
    """How well detectors separate the test set from OOD sets."""

    name: ClassVar[str] = "ood"
    version: ClassVar[int] = 1
    #: The metrics that a terminal shows if there are too many numbers.
    headline: ClassVar[tuple[str, ...]] = ("auroc", "fpr_at_95_tpr")

    detectors: tuple[str, ...] = collects(("odin", "msp", "max_logit", "energy", "entropy"))
    """Detectors; mahalanobis, knn, vim and react are fitted on all training images."""
    outliers: tuple[str, ...] = collects((), loads="images")
    """OOD sets, or groups of them (near, far, paper); default: those usual for the test set."""
    temperature: float = collects(1000.0)
    """ODIN's temperature T of the softmax, in the step and in the score."""
    epsilon: float = collects(0.0028)
    """ODIN's step size ε, in pixels of [0, 1]; never tune it on the tested OOD sets."""
    grid: bool = collects(False)
    """Measure ODIN also at T = 1, 10, 100, 1000 crossed with ε = 0, .0014, .002, .0024, .0028."""
    validation_set: str = collects("", loads="validation")
    """Images that choose ε of the grid; default: the checkpoint's validation images, if any; none:
    the tested OOD sets only."""
    training: str = collects("", loads="training")
    """Set that the network was trained on, which detectors are fitted on; default: the card's."""
    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    @property
    def fits(self) -> bool:
        """Whether a detector is fitted on training images, so that they are loaded."""
        return any(fits(self._detector(name)) for name in self.detectors)

    @property
    def chooses(self) -> bool:
        """Whether validation images are used, so that they are loaded."""
        return self.grid

    def collect(self, subject: Subject) -> Arrays:
        """Return `DETECTOR` of the test set and `DETECTOR:NAME` of each OOD set, float64.

        Each is (n,), or (n, columns) for a detector with variants. `DETECTOR.COUNT` (n,) is a count
        made when fitting, constant over images. Names are escaped as `ArrayName` says. With the
        grid, and if the checkpoint has validation
        images, also their scores `held_out` (m, steps), by which ε is chosen.

        Raises:
            InputError: no detectors, an unknown one or one named twice, or an error of a detector.
        """
        if not self.detectors or len(set(self.detectors)) < len(self.detectors):
            raise InputError(
                f"--detectors is {' '.join(self.detectors) or 'empty'}; name one or more, each once"
            )
        names = [*self.detectors, *([odin.OdinGrid.name] if self.grid else [])]
        requested = [self._detector(name) for name in names]
        results = score_sets(subject, requested, self.outliers, self.training)
        arrays: Arrays = {}
        for name, inside in results.inside.items():
            arrays[str(ArrayName(name))] = inside
            for outliers, array in results.outside[name].items():
                arrays[str(ArrayName(name, outliers))] = array
            for what, count in results.counts[name].items():
                arrays[str(ArrayName(name, counted=what))] = np.full(len(inside), count)
        if self.validation_set:
            arrays[VALIDATION] = validation_scores(subject, odin.STEPS, self.validation_set)
        return arrays

    def statistics(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Statistic]:
        """Yield the metrics of each detector on each OOD set, their averages, and the counts."""
        parsed = {ArrayName.parse(key): arrays[key] for key in arrays if key != VALIDATION}
        for name in [key.detector for key in parsed if not key.outliers and not key.counted]:
            detector, own = self._detector(name), {k: v for k, v in parsed.items() if k[0] == name}
            outside = {key.outliers: array for key, array in own.items() if key.outliers}
            tables = Tables(parsed[ArrayName(name)], outside, self.training)
            if name == odin.OdinGrid.name:
                yield from grid_statistics(detector, tables, arrays.get(VALIDATION))
            else:
                yield from detector_statistics(detector, tables)
            for key, array in own.items():
                if key.counted:
                    at = {"detector": name}
                    quantity = Quantity(key.counted, "count", at, {"score": detector.protocol})
                    yield unpaired(quantity, float(array[0]), ONE_COUNT)

    def _detector(self, name: str) -> Any:
        """Return a detector by name, ODIN with this evaluator's settings."""
        if name == odin.OdinGrid.name:
            return odin.OdinGrid()
        kind = plugins.load("detectors", name)
        return kind(self.temperature, self.epsilon) if kind is odin.Odin else kind()


@dataclass(frozen=True)
class SetScores:
    """By detector, the scores of the test set and of each OOD set, and the counts of fitting.

    Scores are (n,), or (n, columns) for a detector with variants.
    """

    inside: Mapping[str, Scores]
    outside: Mapping[str, Mapping[str, Scores]]
    counts: Mapping[str, Mapping[str, int]]


def score_sets(
    subject: Subject, requested: Sequence[Named], outliers: Sequence[str], training: str = ""
) -> SetScores:
    """Return the scores of detectors; some are fitted on the training images of `training`.

    Raises:
        InputError: no OOD set, an empty set, a network with NaN logits or one class, or an error of
            a detector.
    """
    if not outliers:
        raise InputError("--outliers is empty; name one or more sets of images")
    if subject.spec.classes < 2:
        raise InputError("the network has one class; detectors need two or more")
    scorers = _scorers(subject, requested, training)
    inside = subject.stored("test set", partial(_scores, subject, subject.data, scorers))
    outside: dict[str, dict[str, Scores]] = {name: {} for name in scorers}
    for name in outliers:
        compute = partial(_scores, subject, subject.sets[name], scorers)
        for detector, array in subject.stored(f"outliers {name}", compute).items():
            outside[detector][name] = array
    return SetScores(inside, outside, {name: counts(each) for name, each in scorers.items()})


def validation_scores(subject: Subject, detector: Any, validation_set: str) -> Scores:
    """Return scores (n,) or (n, columns) of the validation images, by a detector without `fit`."""
    compute = partial(_scores, subject, subject.sets[validation_set], {detector.name: detector})
    array: Scores = subject.stored(f"held out {validation_set}", compute)[detector.name]
    return array


def _scorers(subject: Subject, requested: Sequence[Named], training: str) -> dict[str, Scorer]:
    """Return scorers by detector; those with `fit` share one pass over the training images."""
    images = None
    if any(map(fits, requested)):
        images = training_images(subject, subject.sets[training_key(training)])
    scorers: dict[str, Any] = {}
    for named in requested:
        detector: Any = named
        scorers[detector.name] = detector.fit(images) if fits(detector) else detector
    return scorers


def training_images(subject: Subject, images: ImageSet) -> Training:
    """Run the network on all images of a training set, whatever the limit.

    Raises:
        InputError: the network does not end in a linear layer, a feature is not finite, or there
            are no images.
    """
    detectors.last_layer(subject.model)
    if not len(images):
        raise InputError(f"the training set of {images.name} has no images")
    subject.progress.start(f"{images.name} training", len(images))
    rows = np.arange(len(images))
    outputs = evaluators.outputs_of(subject, images, rows, features=True, required=True)
    return detectors.training_of(subject.model, images, outputs)


def _scores(subject: Subject, images: ImageSet, scorers: Mapping[str, Scorer]) -> dict[str, Scores]:
    """Return the scores of a set by detector, computed batch by batch."""
    import torch

    total = len(subject.indices(images))
    if total == 0:
        raise InputError(f"{images.name} has no images")
    subject.progress.start(images.name, total)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in scorers}
    for batch in subject.batches(images):
        for name, scorer in scorers.items():
            parts[name].append(scorer.scores(batch).double())
        subject.progress.advance(len(parts[name][-1]))
    arrays = {name: torch.cat(tensors).cpu().numpy() for name, tensors in parts.items()}
    for name, array in arrays.items():
        missing = int(np.isnan(array.reshape(total, -1)).any(axis=1).sum())
        if missing:
            raise InputError(f"the network gives NaN for {missing} of {total} images ({name})")
    return arrays
