"""Reports of runs: CSV files, tables, figures and one HTML page. Never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = ["current_report", "headline_text", "write_proposition", "write_report"]

if TYPE_CHECKING:
    from sdd_eval.report.page.proposition import write_proposition
    from sdd_eval.report.tables.headline import headline_text
    from sdd_eval.report.write import current_report, write_report

__getattr__ = lazy_exports(
    __name__,
    {
        "page.proposition": ["write_proposition"],
        "tables.headline": ["headline_text"],
        "write": ["current_report", "write_report"],
    },
)
