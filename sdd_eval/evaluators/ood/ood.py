"""Does the classifier know what it has never seen? Any detectors, side by side.

Each set is looked at once for all detectors; ODIN alone needs further passes, for its step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.detectors.detector import fits
from sdd_eval.evaluators.ood.ranking import grid_rows, rows
from sdd_eval.evaluators.ood.scores import HELD_OUT, held_out_scores, score_sets
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject


@dataclass(frozen=True)
class Ood:
    """How well detectors tell the test set from sets of outliers."""

    name: ClassVar[str] = "ood"
    version: ClassVar[int] = 1
    #: What a terminal shows where all numbers are too many.
    headline: ClassVar[tuple[str, ...]] = ("auroc", "fpr_at_95_tpr")

    detectors: tuple[str, ...] = collects(("odin", "msp", "max_logit", "energy", "entropy"))
    """Detectors; mahalanobis, knn, vim and react look at all training images first."""
    outliers: tuple[str, ...] = collects((), loads="images")
    """Sets of outliers, or groups of them (near, far, paper); default: the usual for the test."""
    temperature: float = collects(1000.0)
    """ODIN's temperature T of the softmax, in the step and in the score."""
    epsilon: float = collects(0.0028)
    """ODIN's size ε of the step, in pixels of [0, 1]; never tune it on the outliers of the test."""
    grid: bool = collects(False)
    """Measure ODIN also at T = 1, 10, 100, 1000 crossed with ε = 0, .0014, .002, .0024, .0028."""
    validation_set: str = collects("", loads="validation")
    """What chooses ε of the grid: the checkpoint's validation images if it has any; none: nothing
    but the outliers under test."""
    training: str = collects("", loads="training")
    """Set that the network was trained on: detectors are fitted on it; default: the card's."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    @property
    def fits(self) -> bool:
        """Whether a detector looks at training images, so that they are loaded."""
        return any(fits(self._detector(name)) for name in self.detectors)

    @property
    def chooses(self) -> bool:
        """Whether validation images are looked at, if there are any."""
        return self.grid

    def collect(self, subject: Subject) -> Arrays:
        """`DETECTOR` of the test set and `DETECTOR:NAME` of each set of outliers, float64.

        Each is (n,), or (n, columns) of a detector with variants. `DETECTOR.COUNT` (n,) is what
        fitting counted, the same for all images. With the grid, and where images were held out of
        training, also their `held_out` (m, steps), by which ε is chosen.

        Raises:
            InputError: an unknown detector or one named twice, or what a detector refuses.
        """
        if not self.detectors or len(set(self.detectors)) < len(self.detectors):
            raise InputError(
                f"--detectors is {' '.join(self.detectors) or 'empty'}; name one or more, each once"
            )
        names = [*self.detectors, *([odin.OdinGrid.name] if self.grid else [])]
        asked = [self._detector(name) for name in names]
        found = score_sets(subject, asked, self.outliers, self.training)
        arrays: Arrays = {}
        for name, own in found.inside.items():
            arrays[name] = own
            arrays |= {f"{name}:{sets}": each for sets, each in found.outside[name].items()}
            for what, count in found.counts[name].items():
                arrays[f"{name}.{what}"] = np.full(len(own), count)
        if self.validation_set:
            arrays[HELD_OUT] = held_out_scores(subject, odin.STEPS, self.validation_set)
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """The metrics of every detector on every set of outliers, their averages, and counts."""
        found: list[Measurement] = []
        named = (key for key in arrays if ":" not in key and "." not in key and key != HELD_OUT)
        for name in named:
            detector = self._detector(name)
            outside = {k.split(":", 1)[1]: arrays[k] for k in arrays if k.startswith(f"{name}:")}
            make = rows
            if name == odin.OdinGrid.name:
                make = partial(grid_rows, validation_set=arrays.get(HELD_OUT))
            found += make(detector, arrays[name], outside, self.training, self.intervals)
            for key in (k for k in arrays if k.startswith(f"{name}.") and ":" not in k):
                at, value = {"detector": name}, float(arrays[key][0])
                what = key.removeprefix(f"{name}.")
                found.append(Measurement(what, value, "count", at, detector.protocol))
        return found

    def _detector(self, name: str) -> Any:
        """A detector by name; ODIN has this evaluator's settings, others their own."""
        if name == odin.OdinGrid.name:
            return odin.OdinGrid()
        kind = plugins.load("detectors", name)
        return kind(self.temperature, self.epsilon) if kind is odin.Odin else kind()
