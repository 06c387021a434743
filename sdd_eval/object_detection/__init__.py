"""Fine-tune Faster R-CNN on a classifier's backbone and measure its mean average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.object_detection.evaluator import Detection
    from sdd_eval.object_detection.train import train_detector
else:
    __getattr__, __all__ = lazy_exports(__name__)
