"""Data-parallel training: processes, shards of a batch, synchronised batch normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.training.distributed.sync_batchnorm import all_reduce_sum
else:
    __getattr__, __all__ = lazy_exports(__name__)
