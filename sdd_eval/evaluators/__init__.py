"""Evaluators: each computes the metrics of one topic from per-image arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.evaluators.evaluator import Evaluator
    from sdd_eval.evaluators.subject import Subject, outputs_of
else:
    __getattr__, __all__ = lazy_exports(__name__)
