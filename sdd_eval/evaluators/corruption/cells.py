"""The cells of a corrupted set: a corruption at a severity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.corruption import SEVERITIES

#: Prefixes of array names.
CORRECT, CONFIDENCE, MISSING = "correct_", "confidence_", "missing_"
#: The suffix of the arrays of uncorrupted images.
CLEAN = "clean"

#: A corruption and a severity.
Cell = tuple[str, int]
UNCORRUPTED: Cell = (CLEAN, 0)


@dataclass(frozen=True)
class Cells:
    """Per-image values (n,) of each measured cell, and why others are missing."""

    correct: Mapping[Cell, NDArray[np.bool_]]
    confidence: Mapping[Cell, NDArray[np.float32]]
    missing: Mapping[Cell, str]

    @property
    def corrupted(self) -> list[Cell]:
        """The measured cells except the uncorrupted images."""
        return [cell for cell in self.correct if cell != UNCORRUPTED]

    @property
    def images(self) -> int:
        """The number of images of a cell."""
        return len(next(iter(self.correct.values())))


def cells_of(arrays: Mapping[str, NDArray[Any]]) -> Cells:
    """Return the cells in the arrays of `Corruption.collect`."""
    correct: dict[Cell, NDArray[np.bool_]] = {UNCORRUPTED: arrays[CORRECT + CLEAN]}
    confidence: dict[Cell, NDArray[np.float32]] = {UNCORRUPTED: arrays[CONFIDENCE + CLEAN]}
    missing: dict[Cell, str] = {}
    names = [name.removeprefix(CORRECT) for name in arrays if name.startswith(CORRECT)]
    for name in (name for name in names if name != CLEAN):
        reasons = arrays[MISSING + name][0] if MISSING + name in arrays else [""] * len(SEVERITIES)
        for index, severity in enumerate(SEVERITIES):
            if reasons[index]:
                missing[name, severity] = str(reasons[index])
            else:
                correct[name, severity] = arrays[CORRECT + name][:, index]
                confidence[name, severity] = arrays[CONFIDENCE + name][:, index]
    return Cells(correct, confidence, missing)
