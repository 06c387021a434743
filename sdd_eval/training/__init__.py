"""Training: recipes, the training loop, methods, resuming and analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["check_lemma_1", "costs", "declared", "is_first", "passes_of", "train"]

if TYPE_CHECKING:
    from sdd_eval.training.analysis.cost import costs
    from sdd_eval.training.analysis.kl_gradients import check_lemma_1
    from sdd_eval.training.analysis.method_summary import declared, passes_of
    from sdd_eval.training.distributed.processes import is_first
    from sdd_eval.training.train import train

__getattr__ = lazy_exports(
    __name__,
    {
        "analysis.cost": ["costs"],
        "analysis.lemma": ["check_lemma_1"],
        "analysis.method_summary": ["declared", "passes_of"],
        "distributed.processes": ["is_first"],
        "train": ["train"],
    },
)
