"""LaTeX tables (booktabs) with the numbers as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence

from sdd_eval.metrics.formatting import escaped, format_mean
from sdd_eval.report.tables.columns import HeadlineColumn, settings_label
from sdd_eval.report.tables.headline import Headline, HeadlineCell
from sdd_eval.report.tables.sections import ResultTable

#: Rows that fit on a page below a caption.
ROWS = 36


def headline_tex(table: Headline) -> str:
    """Return the headline table; marked means are bold, and the best of single networks has a †."""
    several = len({id(row.comparison) for row in table.rows}) > 1
    titles = [*(["Test set, network"] if several else []), "Method", "n"]
    titles += [f"{column.title} {column.arrow}" for column in table.columns]
    lines = [
        [
            *([escaped(row.comparison.title)] if several else []),
            escaped(row.group),
            escaped(row.seeds),
            *(
                _headline_cell(cell, column)
                for column, cell in zip(table.columns, row.cells, strict=True)
            ),
        ]
        for row in table.rows
    ]
    settings = [(column.title, settings_label(column)) for column in table.columns]
    notes = "; ".join(f"{title}: {label}" for title, label in settings if label)
    signs = {"best": "Bold: ", "best network": "†: "}
    marks = [f"{signs[mark]}{meaning}. " for mark, meaning in table.marks.items()]
    caption = f"{table.units}. {''.join(marks)}{notes}."
    left = 2 if several else 1
    return tabular([escaped(title) for title in titles], lines, caption, "headline", left)


def _headline_cell(cell: HeadlineCell, column: HeadlineColumn) -> str:
    if not cell.values:
        return "---"
    text = escaped(format_mean(column.entry, cell.summary))
    dagger = escaped("†") if cell.mark == "best network" else ""
    return rf"\textbf{{{text}}}{dagger}" if cell.mark else text


def table_tex(table: ResultTable, caption: str, label: str) -> str:
    """Return the table of an evaluator."""
    titles = ["metric", *table.axes, *table.groups]
    rows = [[*map(escaped, (row.metric, *row.axes, *row.cells))] for row in table.rows]
    return tabular([*map(escaped, titles)], rows, caption, label, 1 + len(table.axes))


def tabular(
    titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str, left: int
) -> str:
    """Return a table of escaped cells: `left` columns of text, the others of numbers.

    A table longer than a page is split into several floats, because `longtable` neither shrinks to
    the width of a column nor works in a two-column document.
    """
    parts = [lines[begin : begin + ROWS] for begin in range(0, len(lines), ROWS)] or [lines]
    output = [r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}"]
    for number, part in enumerate(parts, start=1):
        text = f"{caption} Part {number} of {len(parts)}." if len(parts) > 1 else caption
        output += _float(titles, part, text, label if number == 1 else f"{label}-{number}", left)
    return "\n".join([*output, ""])


def _float(
    titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str, left: int
) -> list[str]:
    columns = "l" * left + "r" * (len(titles) - left)
    body = [rf"{' & '.join(line)} \\" for line in lines]
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{' & '.join(titles)} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
