"""Paired comparisons of networks on the same images: differences, intervals and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.comparison.compare import (
        compare,
        compare_planned,
        planned_is_current,
        planned_sides,
    )
    from sdd_eval.comparison.families import study_families, unmatched_selectors
    from sdd_eval.comparison.gate import Condition, GateResult, judge, parse_condition
    from sdd_eval.comparison.matching import has_runs, load_runs
    from sdd_eval.comparison.power import Requirement, requirements
    from sdd_eval.comparison.records import PairComparison
    from sdd_eval.comparison.run_statistics import untested_lines
    from sdd_eval.comparison.store import load_comparisons
else:
    __getattr__, __all__ = lazy_exports(__name__)
