"""What the training of a detector needs to go on after an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval.detection.recipe import DetectorRecipe
from sdd_eval.training.state import read_content, write_content


@dataclass(frozen=True)
class DetectorState:
    """A training after some of its epochs; the fields are those of a classifier's state."""

    recipe: DetectorRecipe
    fingerprint: str
    threads: int
    devices: tuple[str, ...]
    epoch: int = 0
    seconds: float = 0.0
    history: tuple[Mapping[str, float], ...] = ()
    detector: Mapping[str, Any] | None = None
    optimiser: Mapping[str, Any] | None = None


def write_state(folder: Path, state: DetectorState) -> None:
    """Write the state atomically."""
    write_content(folder, state)


def read_state(folder: Path) -> DetectorState | None:
    """The state in a checkpoint's folder, or None.

    Raises:
        InputError: the file is not such a state.
    """
    return read_content(folder, DetectorState, DetectorRecipe)
