"""Detectors of out-of-distribution images; modules that need torch are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.evaluators.batch import last_layer, training_of
else:
    __getattr__, __all__ = lazy_exports(__name__)
