"""Networks from pixels in [0, 1] to logits; standardisation is their first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["Folding", "build", "fold", "is_factory"]

if TYPE_CHECKING:
    from sdd_eval.models.bn_folding import Folding, fold
    from sdd_eval.models.build import build
    from sdd_eval.models.foreign import is_factory
else:
    __getattr__ = lazy_exports(
        __name__, {"bn_folding": ["Folding", "fold"], "build": ["build"], "foreign": ["is_factory"]}
    )
