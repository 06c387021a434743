"""Checkpoint folders: read, write, import, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import Checkpoint, load
    from sdd_eval.checkpoints.folder import (
        checkpoint_folders,
        find_folder,
        is_checkpoint,
        read_card,
    )
    from sdd_eval.checkpoints.history import gradient_study, training_curves
    from sdd_eval.checkpoints.import_source import ImportSource
    from sdd_eval.checkpoints.importing import Imported, ImportPlan, import_weights, plan_import
else:
    __getattr__, __all__ = lazy_exports(__name__)
