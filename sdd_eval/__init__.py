"""Train image classifiers with SD-Dropout and measure their calibration and robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports
from sdd_eval.version import __version__

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import load
    from sdd_eval.comparison.compare import compare
    from sdd_eval.evaluation.from_logits import evaluate_logits
    from sdd_eval.evaluation.in_memory import evaluate
    from sdd_eval.records import Recipe
    from sdd_eval.report.notebook import open_study, plot, to_frame
    from sdd_eval.report.verify import verify_report
    from sdd_eval.report.write import write_report
    from sdd_eval.training.train import train
else:
    __getattr__, __all__ = lazy_exports(__name__)
