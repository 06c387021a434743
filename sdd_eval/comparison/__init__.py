"""Paired comparisons of networks on the same images: differences, intervals and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = [
    "compare",
    "compare_planned",
    "comparisons_of",
    "families_of",
    "planned_is_current",
    "planned_sides",
    "unanswered",
    "untested",
]

if TYPE_CHECKING:
    from sdd_eval.comparison.compare import (
        compare,
        compare_planned,
        planned_is_current,
        planned_sides,
    )
    from sdd_eval.comparison.families import families_of, unanswered
    from sdd_eval.comparison.store import comparisons_of
    from sdd_eval.comparison.untested import untested

__getattr__ = lazy_exports(
    __name__,
    {
        "compare": ["compare", "compare_planned", "planned_is_current", "planned_sides"],
        "families": ["families_of", "unanswered"],
        "store": ["comparisons_of"],
        "untested": ["untested"],
    },
)
