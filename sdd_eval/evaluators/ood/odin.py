"""ODIN: the evaluator `ood` with the one detector `odin`, under names of its own.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.ood import VALIDATION, ArrayName, Ood
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.statistics.statistic import Statistic

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

#: Arrays by detector; those of an OOD set end in "_NAME".
ARRAYS = {odin.Odin.name: "scores", odin.OdinGrid.name: "grid"}


@dataclass(frozen=True)
class Odin(Evaluator):
    """How well ODIN separates the test set from OOD sets."""

    name: ClassVar[str] = "odin"
    version: ClassVar[int] = 2

    temperature: float = collects(1000.0)
    """Temperature T of the softmax, in the step and in the score."""
    epsilon: float = collects(0.0028)
    """Step size ε, in pixels of [0, 1]; never tune it on the tested OOD sets."""
    outliers: tuple[str, ...] = collects((), loads="images")
    """OOD sets, or groups of them (near, far, paper); default: those usual for the test set."""
    grid: bool = collects(False)
    """Measure also T = 1, 10, 100, 1000 crossed with ε = 0, .0014, .002, .0024, .0028."""
    validation_set: str = collects("", loads="validation")
    """Images that choose ε of the grid; default: the checkpoint's validation images, if any; none:
    the tested OOD sets only."""
    training: str = collects("", loads="training")
    """Set that the network was trained on, whose groups of OOD sets are averaged; default: the
    card's."""
    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    @property
    def chooses(self) -> bool:
        """Whether validation images are used, so that they are loaded."""
        return self.grid

    def _ood(self) -> Ood:
        return Ood(
            detectors=(odin.Odin.name,),
            outliers=self.outliers,
            temperature=self.temperature,
            epsilon=self.epsilon,
            grid=self.grid,
            validation_set=self.validation_set,
            training=self.training,
            intervals=self.intervals,
        )

    def collect(self, subject: Subject) -> Arrays:
        """Return `scores` (n,) of the test set and `scores_NAME` of each OOD set, float64.

        With the grid also `grid` (n, cells) and `grid_NAME`, and `held_out` as of `Ood.collect`.
        """
        return {_renamed(name): array for name, array in self._ood().collect(subject).items()}

    def statistics(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Statistic]:
        """Yield the metrics of each OOD set and their averages; a few of each cell of the grid."""
        return self._ood().statistics({_of_ood(name): arrays[name] for name in arrays})


def _renamed(name: str) -> str:
    """Return the name of an array of `Ood` in a run of `odin`."""
    if name == VALIDATION:
        return name
    parsed = ArrayName.parse(name)
    array = ARRAYS[parsed.detector]
    return f"{array}_{parsed.outliers}" if parsed.outliers else array


def _of_ood(name: str) -> str:
    """Return the name of an array of `odin` in a run of `Ood`."""
    for detector, array in ARRAYS.items():
        if name == array:
            return str(ArrayName(detector))
        if name.startswith(f"{array}_"):
            return str(ArrayName(detector, name.removeprefix(f"{array}_")))
    return name
