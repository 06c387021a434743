"""Checkpoint folders: read, write, import, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import (
        HISTORY,
        find_checkpoint,
        load,
        read_card,
        require_trust,
        verify,
    )
    from sdd_eval.checkpoints.history import gradient_study
    from sdd_eval.checkpoints.importing import ImportSource, import_weights, plan_import
else:
    __getattr__, __all__ = lazy_exports(__name__)
