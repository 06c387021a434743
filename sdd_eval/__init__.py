"""Robustness and calibration of image classifiers, and their training with SD-Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load"]

if TYPE_CHECKING:
    from sdd_eval.evaluation import evaluate
    from sdd_eval.training.checkpoints import load


def __getattr__(name: str) -> Any:
    """Import the two public functions on first use: `import sdd_eval` must not cost a torch."""
    if name == "evaluate":
        from sdd_eval.evaluation import evaluate

        return evaluate
    if name == "load":
        from sdd_eval.training.checkpoints import load

        return load
    raise AttributeError(f"module 'sdd_eval' has no attribute {name!r}")
