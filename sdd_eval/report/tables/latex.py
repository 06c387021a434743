"""Tables for a paper: LaTeX with booktabs, one table a file, numbers as the page shows them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from sdd_eval.report.formatting import shown
from sdd_eval.report.tables.headline import Cell, Headline, Row, seeds_of, where_it_holds
from sdd_eval.report.tables.sections import Grid

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "λ": r"$\lambda$",
    "ε": r"$\varepsilon$",
    "Δ": r"$\Delta$",
    "τ": r"$\tau$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "³": "$^3$",
}

#: So many rows fit a page, below a caption.
ROWS = 36


def escaped(text: object) -> str:
    """Text as LaTeX prints it; letters that no common font has become "?".

    What begins with a bracket or a star has `{}` before it: LaTeX would take it for an argument of
    the `\\\\` or `\\midrule` before it.

    >>> escaped("CE + SD-Dropout λ 0.1, 50 % of a_b")
    'CE + SD-Dropout $\\\\lambda$ 0.1, 50 \\\\% of a\\\\_b'
    """
    plain = "".join(map(_letter, " ".join(str(text).split())))
    return f"{{}}{plain}" if plain.startswith(("[", "*")) else plain


@functools.cache
def _letter(letter: str) -> str:
    """A letter of ASCII or Latin-1, which inputenc and T1 fonts know; others as "?"."""
    plain = " " <= letter < "\x7f" or "\xa1" <= letter <= "\xff"
    return _ESCAPES.get(letter) or (letter if plain else "?")


def headline_tex(table: Headline) -> str:
    """The headline table: the best in bold where it can be told from the others, else all ties."""
    several = len({id(row.comparison) for row in table.rows}) > 1
    titles = [*(["Test set, network"] if several else []), "Method", "n"]
    titles += [f"{column.title} {column.arrow}" for column in table.columns]
    lines = [
        [
            *([escaped(row.comparison.title)] if several else []),
            escaped(row.group),
            escaped(seeds_of(row)),
            *_cells(table, row),
        ]
        for row in table.rows
    ]
    notes = [f"{c.title}: {where_it_holds(c)}" for c in table.columns if where_it_holds(c)]
    caption = (
        "Mean ± standard deviation over n seeds; all but ECE in %. Bold: the best mean, and those "
        f"that the 95 % interval over seeds does not tell from it. {'; '.join(notes)}."
    )
    left = 2 if several else 1
    return tabular([escaped(each) for each in titles], lines, caption, "headline", left)


def _cells(table: Headline, row: Row) -> Iterator[str]:
    for column, cell in zip(table.columns, row.cells, strict=True):
        yield _cell(cell, column.percent)


def _cell(cell: Cell, percent: bool) -> str:
    if not cell.values:
        return "---"
    text = escaped(shown(cell.spread, percent))
    return rf"\textbf{{{text}}}" if cell.mark else text


def grid_tex(grid: Grid, caption: str, label: str) -> str:
    """The table of an evaluator."""
    titles = ["metric", *grid.axes, *grid.groups]
    rows = [[*map(escaped, (line.metric, *line.places, *line.cells))] for line in grid.lines]
    return tabular([*map(escaped, titles)], rows, caption, label, 1 + len(grid.axes))


def tabular(
    titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str, left: int
) -> str:
    """A table of cells that are LaTeX already; `left` columns of words, the rest of numbers.

    What is longer than a page comes in parts, each of which floats: `longtable` can neither shrink
    to a column nor stand in a paper of two.
    """
    parts = [lines[begin : begin + ROWS] for begin in range(0, len(lines), ROWS)] or [lines]
    found = [r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}"]
    for number, part in enumerate(parts, start=1):
        told = f"{caption} Part {number} of {len(parts)}." if len(parts) > 1 else caption
        found += _float(titles, part, told, label if number == 1 else f"{label}-{number}", left)
    return "\n".join([*found, ""])


def _float(
    titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str, left: int
) -> list[str]:
    """A table of a page at most, as lines."""
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
