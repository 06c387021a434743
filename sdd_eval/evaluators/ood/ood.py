"""Out-of-distribution detection with any detectors: scores of the test set and of OOD sets.

All detectors share one forward pass over each set, except ODIN, whose step needs additional passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval import evaluators, plugins
from sdd_eval.arrays import Array, Arrays
from sdd_eval.data.ood_sets import require_no_average
from sdd_eval.errors import InputError
from sdd_eval.evaluators import pictures
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.ood import detectors
from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.detectors.detector import Named, Scorer, counts, fits
from sdd_eval.evaluators.ood.ranking import Tables, detector_statistics, grid_statistics
from sdd_eval.evaluators.settings import collects, training_key
from sdd_eval.statistics.statistic import Quantity, Statistic, unpaired
from sdd_eval.validation import ABOVE_0, FROM_0

if TYPE_CHECKING:
    import torch

    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.batch import Training
    from sdd_eval.evaluators.subject import Subject

#: Why the counts made when fitting a detector have no paired test.
ONE_COUNT = "it is a count made when fitting, not a sum over these images"


@dataclass(frozen=True)
class Ood(Evaluator):
    """Out-of-distribution detection: how well detectors separate the test set from OOD sets."""

    name: ClassVar[str] = "ood"
    version: ClassVar[int] = 1
    #: The metrics shown in a terminal if there are too many numbers.
    headline: ClassVar[tuple[str, ...]] = ("auroc", "fpr_at_95_tpr")

    detectors: tuple[str, ...] = collects(("odin", "msp", "max_logit", "energy", "entropy"))
    """Detectors; mahalanobis, knn, vim and react are fitted on all training images."""
    outliers: tuple[str, ...] = collects((), loads="images")
    """OOD sets, or groups of them (near, far, paper); default: those usual for the test set."""
    temperature: float = collects(1000.0, bound=ABOVE_0)
    """ODIN's temperature T of the softmax, in the step and in the score."""
    epsilon: float = collects(0.0028, bound=FROM_0)
    """ODIN's step size ε, in the pixel range [0, 1]; never tune it on the OOD sets under test."""
    grid: bool = collects(False)
    """Also measure ODIN on the grid of T = 1, 10, 100, 1000 and ε = 0, .0014, .002, .0024,
    .0028."""
    validation_set: str = collects("", loads="validation")
    """Images that choose ε of the grid; default: the checkpoint's validation images, if any; none:
    the tested OOD sets only."""
    training: str = collects("", loads="training")
    """Training set that detectors are fitted on, and that determines which OOD sets are averaged.
    Default: from the card."""

    @property
    def fits(self) -> bool:
        """Whether training images are loaded because a detector is fitted on them."""
        return any(fits(self._detector(name)) for name in self.detectors)

    @property
    def from_logits(self) -> bool:  # type: ignore[override]
        """Whether logits suffice: no detector is fitted or takes a step along a gradient."""
        return not self.fits and not self.grid and odin.Odin.name not in self.detectors

    @property
    def chooses(self) -> bool:
        """Whether validation images are loaded because they are used."""
        return self.grid

    def check(self) -> None:
        """Raise InputError for missing, unknown or repeated detectors, or a reserved set name.

        A set cannot have the name of a mean over sets, as its numbers would be mistaken for those
        of the mean.
        """
        if not self.detectors or len(set(self.detectors)) < len(self.detectors):
            raise InputError(
                f"--detectors is {' '.join(self.detectors) or 'empty'}; name one or more, each once"
            )
        for name in self.detectors:
            self._detector(name)
        require_no_average(self.outliers)

    def collect(self, subject: Subject) -> Arrays:
        """Return `scores` float64 of each `detector`, for the test set and OOD sets (`outliers`).

        Their shape is (images,), or (images, variant) for a detector with variants. With the grid,
        if the checkpoint has validation images, `validation_scores` (images, step) hold the scores
        by which ε is chosen. The fact `counts` holds the counts made when fitting, by detector and
        name. Pictures of outliers that the first detector accepts are included.

        Raises:
            InputError: missing, unknown or repeated detectors, an error in a detector, no OOD set,
                a set that is empty or has a reserved name, or a network with NaN logits or a single
                class.
        """
        self.check()
        names = [*self.detectors, *([odin.OdinGrid.name] if self.grid else [])]
        scorers = _scorers(subject, [self._detector(name) for name in names], self)
        compute = partial(_scores, subject)
        arrays = subject.stored("test set", partial(compute, subject.data, scorers))
        for name in self.outliers:
            of_set = partial(compute, subject.sets[name], scorers)
            scores = subject.stored(f"outliers {name}", of_set)
            arrays |= scores.at(outliers=name) | self._pictures(subject, name, scores, arrays)
        if self.validation_set:
            images, steps = subject.sets[self.validation_set], {odin.STEPS.name: odin.STEPS}
            of_steps = partial(compute, images, steps)
            scores = subject.stored(f"validation {self.validation_set}", of_steps)
            values = scores.where(detector=odin.STEPS.name)["scores"]
            arrays |= Arrays([Array("validation_scores", values, ("images", "step"))])
        facts = {name: counts(scorer) for name, scorer in scorers.items() if counts(scorer)}
        return arrays | Arrays(counts=facts)

    def _pictures(self, subject: Subject, name: str, scores: Arrays, inside: Arrays) -> Arrays:
        """Return pictures of OOD images that the first detector accepts in its first variant."""
        first = {"detector": self.detectors[0]}
        both = (_columns(of.where(**first)["scores"])[:, 0] for of in (scores, inside))
        return pictures.accepted(subject, name, *both)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the metrics of each detector on each OOD set, their averages, and the counts."""
        for name in arrays.coordinates("detector"):
            detector, selected = self._detector(name), arrays.where(detector=name)
            outside = selected.along("scores", "outliers")
            columns = {outliers: _columns(scores) for outliers, scores in outside.items()}
            tables = Tables(_columns(selected["scores"]), columns, self.training)
            if name == odin.OdinGrid.name:
                yield from grid_statistics(detector, tables, arrays.get("validation_scores"))
            else:
                yield from detector_statistics(detector, tables)
            for counted, count in arrays.facts.get("counts", {}).get(name, {}).items():
                at = {"detector": name}
                quantity = Quantity(counted, "count", at, {"score": detector.protocol})
                yield unpaired(quantity, float(count), ONE_COUNT)

    def _detector(self, name: str) -> Any:
        """Return a detector by name; ODIN gets the settings of this evaluator."""
        if name == odin.OdinGrid.name:
            return odin.OdinGrid()
        kind = plugins.load("detectors", name)
        return kind(self.temperature, self.epsilon) if kind is odin.Odin else kind()


@dataclass(frozen=True)
class Odin(Ood):
    """Out-of-distribution detection with ODIN: how well it separates the test set from OOD sets."""

    name: ClassVar[str] = "odin"
    version: ClassVar[int] = 2

    detectors: ClassVar[tuple[str, ...]] = (odin.Odin.name,)  # type: ignore[misc]


def _columns(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reshape scores (n,) or (n, columns) to (n, columns)."""
    return scores.reshape(len(scores), -1)


def _scorers(subject: Subject, requested: Sequence[Named], settings: Ood) -> dict[str, Scorer]:
    """Return the scorer of each detector; `fit` uses one shared pass over the training images."""
    if not settings.outliers:
        raise InputError("--outliers is empty; name one or more sets of images")
    if subject.spec.classes < 2:
        raise InputError("the network has one class; detectors need two or more")
    images = None
    if any(map(fits, requested)):
        images = training_images(subject, subject.sets[training_key(settings.training)])
    scorers: dict[str, Any] = {}
    for named in requested:
        detector: Any = named
        scorers[detector.name] = detector.fit(images) if fits(detector) else detector
    return scorers


def training_images(subject: Subject, images: ImageSet) -> Training:
    """Run the network on all images of a training set, regardless of the limit.

    Raise InputError if there are none, or for the same reasons as `training_of`.
    """
    detectors.last_layer(subject.model)
    if not len(images):
        raise InputError(f"the training set of {images.name} has no images")
    subject.progress.start(f"{images.name} training", len(images))
    rows = np.arange(len(images))
    outputs = evaluators.outputs_of(subject, images, rows, features=True, required=True)
    return detectors.training_of(subject.model, images, outputs)


def _scores(subject: Subject, images: ImageSet, scorers: Mapping[str, Scorer]) -> Arrays:
    """Return the scores (n,) or (n, columns) of a set by detector, computed batch by batch."""
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
    arrays = []
    for name, tensors in parts.items():
        scores = torch.cat(tensors).cpu().numpy()
        missing = int(np.isnan(scores.reshape(total, -1)).any(axis=1).sum())
        if missing:
            raise InputError(f"the network gives NaN for {missing} of {total} images ({name})")
        axes = ("images", "variant")[: scores.ndim]
        arrays.append(Array("scores", scores, axes, {"detector": name}))
    return Arrays(arrays)
