"""Data sets: catalogue, download and verification, readers, splits and corruption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.data.corruption.generated import GeneratedCorruptions
    from sdd_eval.data.corruption.writer import write_corrupted
    from sdd_eval.data.standardisation import author_statistics
else:
    __getattr__, __all__ = lazy_exports(__name__)
