"""Training: recipes, the training loop, methods, resuming and analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.training.analysis.cost import measure_costs
    from sdd_eval.training.analysis.kl_gradients import check_lemma_1
    from sdd_eval.training.analysis.method_summary import method_summary, passes_per_step
    from sdd_eval.training.distributed.processes import is_first
    from sdd_eval.training.methods.branch import branches
    from sdd_eval.training.train import train
else:
    __getattr__, __all__ = lazy_exports(__name__)
