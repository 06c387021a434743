"""Checkpoint folders: read, write, import, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["Source", "import_weights", "load", "setting_of"]

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import load
    from sdd_eval.checkpoints.importing import Source, import_weights, setting_of

__getattr__ = lazy_exports(
    __name__,
    {
        "checkpoint": ["load"],
        "importing": ["Source", "import_weights", "setting_of"],
    },
)
