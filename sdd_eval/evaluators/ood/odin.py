"""Does the classifier know what it has never seen? ODIN: temperature and a step of the input.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.ood.detectors import odin as detectors
from sdd_eval.evaluators.ood.detectors.detector import Named
from sdd_eval.evaluators.ood.ranking import grid_rows, rows
from sdd_eval.evaluators.ood.scores import HELD_OUT, held_out_scores, score_sets
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

#: What the arrays of each detector are called; those of outliers have "_NAME" after it.
ARRAYS = {detectors.Odin.name: "scores", detectors.OdinGrid.name: "grid"}


@dataclass(frozen=True)
class Odin:
    """ODIN's score on the test set and on sets of outliers, and how well it tells them apart."""

    name: ClassVar[str] = "odin"
    version: ClassVar[int] = 2

    temperature: float = collects(1000.0)
    """Temperature T of the softmax, in the step and in the score."""
    epsilon: float = collects(0.0028)
    """Size ε of the step, in pixels of [0, 1]; never tune it on the outliers of the test."""
    outliers: tuple[str, ...] = collects((), loads="images")
    """Sets of outliers, or groups of them (near, far, paper); default: the usual for the test."""
    grid: bool = collects(False)
    """Measure also T = 1, 10, 100, 1000 crossed with ε = 0, .0014, .002, .0024, .0028."""
    validation_set: str = collects("", loads="validation")
    """What chooses ε of the grid: the checkpoint's validation images if it has any; none: nothing
    but the outliers under test."""
    training: str = collects("", loads="training")
    """Set that the network was trained on, whose groups of outliers are averaged; default: its."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    @property
    def chooses(self) -> bool:
        """Whether validation images are looked at, if there are any."""
        return self.grid

    def collect(self, subject: Subject) -> Arrays:
        """`scores` (n,) of the test set, and `scores_NAME` of each set of outliers, float64.

        With the grid also `grid` (n, cells) and `grid_NAME`, and where images were held out of
        training their `held_out` (m, steps), by which ε is chosen.

        Raises:
            InputError: T ≤ 0, ε < 0, no outliers, an empty set, or a network that gives NaN.
        """
        asked: list[Named] = [self._detector()]
        if self.grid:
            asked.append(detectors.OdinGrid())
        found = score_sets(subject, asked, self.outliers)
        arrays: Arrays = {ARRAYS[name]: scores for name, scores in found.inside.items()}
        for name, sets in found.outside.items():
            arrays |= {f"{ARRAYS[name]}_{outliers}": each for outliers, each in sets.items()}
        if self.validation_set:
            arrays[HELD_OUT] = held_out_scores(subject, detectors.STEPS, self.validation_set)
        return arrays

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """The metrics of every set of outliers, and their averages; of the grid's cells a few."""
        outside, grid = (_of(arrays, ARRAYS[name]) for name in ARRAYS)
        found = rows(self._detector(), arrays["scores"], outside, self.training, self.intervals)
        if grid:
            found += grid_rows(
                detectors.OdinGrid(),
                arrays["grid"],
                grid,
                self.training,
                self.intervals,
                arrays.get(HELD_OUT),
            )
        return found

    def _detector(self) -> detectors.Odin:
        return detectors.Odin(self.temperature, self.epsilon)


def _of(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """The arrays of the sets of outliers, by name of the set."""
    names = [key for key in arrays if key.startswith(f"{kind}_")]
    return {name.removeprefix(f"{kind}_"): arrays[name] for name in names}
