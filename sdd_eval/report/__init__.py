"""Reports of runs: CSV files, tables, figures and one HTML page. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.figures.style import read_style
    from sdd_eval.report.page.claims import write_claims
    from sdd_eval.report.page.proposition import write_proposition
    from sdd_eval.report.tables.comparisons import (
        column_titles,
        comparison_title,
        family_rows,
        family_sizes,
        formatted_rows,
    )
    from sdd_eval.report.tables.run_table import run_table
    from sdd_eval.report.text.headline import headline_text
    from sdd_eval.report.verify import verify_report
    from sdd_eval.report.write import (
        comparison_is_written,
        current_report,
        write_comparison,
        write_report,
    )
else:
    __getattr__, __all__ = lazy_exports(__name__)
