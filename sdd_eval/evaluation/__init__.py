"""Network × evaluator → run: of checkpoints only what is missing, of modules in memory at once."""

from sdd_eval.evaluation.in_memory import evaluate
from sdd_eval.evaluation.on_disk import Outcome, evaluate_checkpoint, is_measured
from sdd_eval.evaluation.request import Request

__all__ = ["Outcome", "Request", "evaluate", "evaluate_checkpoint", "is_measured"]
