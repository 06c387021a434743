"""ODIN: the evaluator `ood` with the one detector `odin`, under a name of its own.

Source: Liang, Li, Srikant (2018), "Enhancing the reliability of out-of-distribution image
detection in neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdd_eval.evaluators.ood.detectors import odin
from sdd_eval.evaluators.ood.ood import Ood


@dataclass(frozen=True)
class Odin(Ood):
    """Out-of-distribution detection with ODIN: how well it separates the test set from OOD sets."""

    name: ClassVar[str] = "odin"
    version: ClassVar[int] = 2

    detectors: ClassVar[tuple[str, ...]] = (odin.Odin.name,)  # type: ignore[misc]
