"""Reports of runs: CSV files, tables, figures and one HTML page. Never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = [
    "current_report",
    "headline_text",
    "lines_of",
    "shown_rows",
    "sizes_of",
    "title_of",
    "titles_of",
    "write_comparison",
    "write_proposition",
    "write_report",
]

if TYPE_CHECKING:
    from sdd_eval.report.page.proposition import write_proposition
    from sdd_eval.report.tables.comparisons import (
        lines_of,
        shown_rows,
        sizes_of,
        title_of,
        titles_of,
    )
    from sdd_eval.report.tables.headline import headline_text
    from sdd_eval.report.write import current_report, write_report
    from sdd_eval.report.write_comparison import write_comparison
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "page.proposition": ["write_proposition"],
            "tables.comparisons": ["lines_of", "shown_rows", "sizes_of", "title_of", "titles_of"],
            "tables.headline": ["headline_text"],
            "write": ["current_report", "write_report"],
            "write_comparison": ["write_comparison"],
        },
    )
