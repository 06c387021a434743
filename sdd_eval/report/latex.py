"""Tables for a paper: LaTeX with booktabs, one table a file, numbers as the page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdd_eval.report.headline import Cell, Headline, Row, seeds_of, where_it_holds
from sdd_eval.report.numbers import shown
from sdd_eval.report.sections import Grid, Line

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


def escaped(text: object) -> str:
    """Text as LaTeX prints it; letters that no common font has become "?".

    >>> escaped("CE + SD-Dropout λ 0.1, 50 % of a_b")
    'CE + SD-Dropout $\\\\lambda$ 0.1, 50 \\\\% of a\\\\_b'
    """
    return "".join(_ESCAPES.get(letter) or _plain(letter) for letter in " ".join(str(text).split()))


def _plain(letter: str) -> str:
    """A letter of ASCII or Latin-1, which inputenc and T1 fonts know; others as "?"."""
    return letter if " " <= letter < "\x7f" or "\xa1" <= letter <= "\xff" else "?"


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
    """The table of an evaluator, without rows of single bins and severities."""
    skipped = [index for index, axis in enumerate(grid.axes) if axis in ("bin", "severity")]
    lines = [line for line in grid.lines if all(line.places[i] == "—" for i in skipped)]
    used = [
        index
        for index in range(len(grid.axes))
        if index not in skipped and any(line.places[index] != "—" for line in lines)
    ]
    titles = ["metric", *(grid.axes[index] for index in used), *grid.groups]
    rows = [[escaped(each) for each in _places(line, used)] for line in lines]
    return tabular([escaped(each) for each in titles], rows, caption, label, 1 + len(used))


def _places(line: Line, used: Sequence[int]) -> list[str]:
    return [line.metric, *(line.places[index] for index in used), *line.cells]


def tabular(
    titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str, left: int
) -> str:
    """A table of cells that are LaTeX already; `left` columns of words, the rest of numbers."""
    columns = "l" * left + "r" * (len(titles) - left)
    body = [rf"{' & '.join(line)} \\" for line in lines]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}",
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
            "",
        ]
    )
