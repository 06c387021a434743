"""Checkpoint folders: read, write, import, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["ImportSource", "import_weights", "load", "plan_import"]

if TYPE_CHECKING:
    from sdd_eval.checkpoints.checkpoint import load
    from sdd_eval.checkpoints.importing import ImportSource, import_weights, plan_import

__getattr__ = lazy_exports(
    __name__,
    {
        "checkpoint": ["load"],
        "importing": ["ImportSource", "import_weights", "plan_import"],
    },
)
