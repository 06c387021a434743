"""Data sets: catalogue, download and verification, readers, splits and corruption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["GeneratedCorruptions", "write_corrupted"]

if TYPE_CHECKING:
    from sdd_eval.data.corruption.generated import GeneratedCorruptions
    from sdd_eval.data.corruption.writer import write_corrupted
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "corruption.generated": ["GeneratedCorruptions"],
            "corruption.writer": ["write_corrupted"],
        },
    )
