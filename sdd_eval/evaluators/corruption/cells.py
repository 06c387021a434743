"""What was seen of a network in every cell, a corruption at a severity, and means over cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.metrics.corruption import SEVERITIES
from sdd_eval.statistics.bootstrap import Floats, bootstrap_means
from sdd_eval.statistics.intervals import Interval

CORRECT, CONFIDENCE, MISSING = "correct_", "confidence_", "missing_"
#: What the arrays of the images as they are, without corruption, are called.
CLEAN = "clean"

#: A corruption and a severity; (`CLEAN`, 0) are the images as they are.
Cell = tuple[str, int]
UNCORRUPTED: Cell = (CLEAN, 0)


@dataclass(frozen=True)
class Cells:
    """Per-image values (n,) of each cell that was looked at, and why others were not."""

    correct: Mapping[Cell, NDArray[np.bool_]]
    confidence: Mapping[Cell, NDArray[np.float32]]
    missing: Mapping[Cell, str]

    @property
    def corrupted(self) -> list[Cell]:
        """The cells that were looked at, without the images as they are."""
        return [cell for cell in self.correct if cell != UNCORRUPTED]

    @property
    def images(self) -> int:
        """How many images a cell has."""
        return len(next(iter(self.correct.values())))


def cells_of(arrays: Mapping[str, NDArray[Any]]) -> Cells:
    """The cells in the arrays that `Corruption.collect` gives."""
    correct: dict[Cell, NDArray[np.bool_]] = {UNCORRUPTED: arrays[CORRECT + CLEAN]}
    confidence: dict[Cell, NDArray[np.float32]] = {UNCORRUPTED: arrays[CONFIDENCE + CLEAN]}
    missing: dict[Cell, str] = {}
    names = [name.removeprefix(CORRECT) for name in arrays if name.startswith(CORRECT)]
    for name in names:
        if name == CLEAN:
            continue
        reasons = arrays[MISSING + name][0] if MISSING + name in arrays else [""] * len(SEVERITIES)
        for index, severity in enumerate(SEVERITIES):
            if reasons[index]:
                missing[name, severity] = str(reasons[index])
            else:
                correct[name, severity] = arrays[CORRECT + name][:, index]
                confidence[name, severity] = arrays[CONFIDENCE + name][:, index]
    return Cells(correct, confidence, missing)


@dataclass(frozen=True)
class Resampled:
    """A number of each cell, and (resamples,) what it is over resamples of the images.

    An image is drawn with all its renderings: those are not independent of each other.
    """

    values: Mapping[Cell, float]
    drawn: Mapping[Cell, Floats]
    intervals: Intervals

    def mean(self, over: Sequence[Cell]) -> tuple[float, Interval] | None:
        """The mean over some cells, all from 0 to 1; None where one of them is missing."""
        if any(cell not in self.values for cell in over):
            return None
        value = float(np.mean([self.values[cell] for cell in over]))
        return value, self.intervals.basic(value, over_cells(self.drawn, over))


def resampled_accuracy(correct: Mapping[Cell, NDArray[Any]], intervals: Intervals) -> Resampled:
    """The accuracy of each cell from what is right, bool or shares of several networks, (n,)."""
    table = np.stack(list(correct.values()), axis=1)
    means = bootstrap_means(table, intervals.resamples)
    return Resampled(
        {cell: float(values.mean()) for cell, values in correct.items()},
        dict(zip(correct, means.T, strict=True)),
        intervals,
    )


def over_cells(drawn: Mapping[Cell, Floats], over: Sequence[Cell]) -> Floats:
    """The mean over some cells in each resample (resamples,)."""
    found: Floats = np.mean([drawn[cell] for cell in over], axis=0)
    return found
