"""ODIN: the evaluator `ood` with the one detector `odin`, under names of its own.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.intervals import INTERVALS, Intervals
from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.statistics.statistic import Statistic

if TYPE_CHECKING:
    from sdd_eval.arrays import Arrays
    from sdd_eval.evaluators.subject import Subject


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
        """Return the arrays of `Ood.collect` of the detectors `odin` and, if asked, `odin_grid`."""
        return self._ood().collect(subject)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the metrics of each OOD set and their averages; a few of each cell of the grid."""
        return self._ood().statistics(arrays)
