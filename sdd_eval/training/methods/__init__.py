"""Training methods, and the losses that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["branches"]

if TYPE_CHECKING:
    from sdd_eval.training.methods.branch import branches

__getattr__ = lazy_exports(__name__)
