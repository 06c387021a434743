"""A comparison on disk: CSV, LaTeX tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdd_eval.comparison.store import FOLDER, ComparisonSet
from sdd_eval.report.drawing.draw import draw_compared
from sdd_eval.report.tables.comparisons import compared_frame, compared_tex
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.store import write_text


def write_comparison(
    study: Path, comparison: ComparisonSet, families: Sequence[str], *, figures: bool = True
) -> list[Path]:
    """Write a comparison's CSV, LaTeX tables of some families, and figures; return their paths."""
    csv = study / FOLDER / f"{comparison.name}.csv"
    write_text(csv, to_csv(compared_frame(comparison.pairs)))
    tex = csv.with_suffix(".tex")
    tables = [compared_tex(pair, family) for pair in comparison.pairs for family in families]
    write_text(tex, "\n".join(tables))
    folder = csv.with_suffix("")
    drawn = draw_compared(study, comparison.checkpoints, folder) if figures else ()
    return [csv, tex, *drawn]
