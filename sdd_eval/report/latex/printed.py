"""The paper's tables with the measured numbers next to the printed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdd_eval.metrics.formatting import MISSING
from sdd_eval.paper.comparison import PaperComparison
from sdd_eval.paper.rendering import (
    INTERPRETATIONS,
    TITLES,
    Cell,
    cells,
    column_label,
    format_number,
    row_label,
)
from sdd_eval.report.latex.layout import TexCell, TexRow, TexSection, TexTable, short_label

#: The signs of measured numbers.
SIGNS = {"reproduced": "*", "not comparable": "†"}


def printed_table(table: int, comparisons: Sequence[PaperComparison]) -> TexTable:
    """Return a table of the paper, with the best number of each printed contest in bold."""
    of_table = cells([one for one in comparisons if one.number.table == table])
    grid: dict[str, dict[str, Cell]] = {}
    for cell in of_table:
        number = cell.comparison.number
        grid.setdefault(row_label(number), {})[column_label(number)] = cell
    columns = dict.fromkeys(column for row in grid.values() for column in row)
    rows = tuple(
        TexRow(
            label, tuple(_cell(row.get(column)) for column in columns), short_label(label, before)
        )
        for before, (label, row) in zip(["", *grid], grid.items(), strict=False)
    )
    return TexTable(
        f"table-{table}",
        f"{TITLES[table]} (Table {table})",
        "printed numbers, and below them the measured mean ± standard deviation over seeds.",
        "",
        (*columns,),
        (TexSection("", rows),),
        (*_notes(table, of_table),),
    )


def _cell(cell: Cell | None) -> TexCell:
    """Return the printed number with the measured one below."""
    if cell is None:
        return TexCell("")
    number, measured = cell.comparison.number, cell.comparison.measured
    text = format_number(number, measured.mean)
    if measured.n > 1:
        text += f"±{format_number(number, measured.std)}"
    sign = "" if text == MISSING else SIGNS.get(cell.comparison.verdict, "")
    return TexCell(format_number(number, number.value), cell.paper_best, below=text + sign)


def _notes(table: int, of_table: Sequence[Cell]) -> Iterator[str]:
    """Yield the meaning of bold type and signs, the interpretation, and reasons not to compare."""
    if any(cell.paper_best for cell in of_table):
        yield "Bold: the best of the printed numbers that are compared."
    verdicts = {cell.comparison.verdict for cell in of_table}
    yield from (f"{sign} {verdict}." for verdict, sign in SIGNS.items() if verdict in verdicts)
    if table in INTERPRETATIONS:
        yield f"Interpreted as: {INTERPRETATIONS[table]}."
    reasons = dict.fromkeys(reason for cell in of_table for reason in cell.comparison.reasons)
    if reasons:
        yield f"Not comparable, or too few seeds: {'; '.join(reasons)}."
