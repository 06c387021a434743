"""All LaTeX files of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sdd_eval import plugins
from sdd_eval.figures.selection import where
from sdd_eval.metrics.names import display_name
from sdd_eval.report.drawing.draw import file_name
from sdd_eval.report.latex.evaluators import evaluator_table, paper_table
from sdd_eval.report.latex.grids import PAPER_TABLES, PaperNumbers, headline_tables, paper_tables
from sdd_eval.report.latex.layout import TexTable, table_tex
from sdd_eval.report.latex.numbers import numbers_tex
from sdd_eval.report.latex.selection import Selection
from sdd_eval.report.tables.paper_comparison import PaperRow
from sdd_eval.report.tables.sections import (
    TITLES,
    ProtocolIndex,
    evaluator_names,
    result_table,
    without_bins_and_severities,
)
from sdd_eval.report.tables.summary import ComparableResults, distinguishing_names

#: The versions of a table, by the suffix of their file names.
VERSIONS = {"": "table", "-wide": "table*"}


def tex_files(
    numbers: PaperNumbers,
    chosen: Selection,
    parts: Sequence[ComparableResults],
    protocols: Mapping[str, str],
    paper: Sequence[PaperRow],
) -> dict[str, str]:
    """Return all tables in both widths, and the commands of `numbers.tex`, by file name."""
    tables = [
        *headline_tables(numbers.headline, chosen),
        *paper_tables(numbers, chosen),
        *([paper_table(paper)] if paper else []),
        *_evaluator_tables(parts, protocols, chosen),
    ]
    files = table_files(tables) | {"numbers.tex": numbers_tex(numbers.headline)}
    return {f"tables/{name}": text for name, text in files.items()}


def table_files(tables: Iterable[TexTable]) -> dict[str, str]:
    """Return both versions of some tables, by file name."""
    return {
        f"{table.name}{ending}.tex": table_tex(table, environment)
        for table in tables
        for ending, environment in VERSIONS.items()
    }


def _evaluator_tables(
    parts: Sequence[ComparableResults], protocols: Mapping[str, str], chosen: Selection
) -> Iterator[TexTable]:
    """Yield the tables of each evaluator and part of the results."""
    for words, part in zip(distinguishing_names(parts), parts, strict=True):
        summary = without_bins_and_severities(part.summary)
        names = evaluator_names(summary)
        index = ProtocolIndex(summary, names, protocols)
        for name in names:
            table = result_table(where(summary, evaluator=name), index)
            subject = f"{TITLES.get(name) or display_name(name)}, {part.title}"
            yield evaluator_table(table, file_name(name, *words), subject, chosen)


def table_names(folder: Path) -> Iterator[str]:
    """Yield the paths of the tables in a report's folder, of this or an earlier report."""
    for name in ("headline", "paper", *PAPER_TABLES, *plugins.names("evaluators")):
        for path in (*folder.glob(f"tables/{name}.tex"), *folder.glob(f"tables/{name}-*.tex")):
            yield f"tables/{path.name}"
