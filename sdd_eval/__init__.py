"""Train image classifiers with SD-Dropout and measure their calibration and robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports
from sdd_eval.version import __version__

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import load
    from sdd_eval.evaluation.in_memory import evaluate
else:
    __getattr__, __all__ = lazy_exports(__name__)
