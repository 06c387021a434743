"""Export results to model cards and experiment trackers. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.export.mlflow import to_mlflow
    from sdd_eval.export.model_card import write_model_card
    from sdd_eval.export.numbers import CheckpointNumbers, read_numbers
    from sdd_eval.export.tensorboard import to_tensorboard
    from sdd_eval.export.wandb import to_wandb
else:
    __getattr__, __all__ = lazy_exports(__name__)
