"""Statistics: numbers with closed-form or bootstrap intervals, and paired tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.statistics.statistic import (
        Quantity,
        Statistic,
        counts,
        mean_of_cells,
        means,
        shares,
        unpaired,
    )
else:
    __getattr__, __all__ = lazy_exports(__name__)
