"""Evaluations of checkpoints, stored as runs, and of modules in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.evaluation.from_logits import evaluate_logits
    from sdd_eval.evaluation.in_memory import evaluate
    from sdd_eval.evaluation.network_check import NetworkCheck
    from sdd_eval.evaluation.on_disk import Outcome, evaluate_checkpoint, is_measured
    from sdd_eval.evaluation.request import Request
    from sdd_eval.evaluators.cache import outputs_folder
else:
    __getattr__, __all__ = lazy_exports(__name__)
