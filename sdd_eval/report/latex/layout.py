"""Arrange a table so that it fits the width of one or of two columns, and write it as LaTeX.

Text is set in 8 pt. Headings, labels and long cells are broken into lines; columns that still do
not fit are placed below the first ones, and rows that do not fit on a page in further floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sdd_eval.metrics.formatting import escaped
from sdd_eval.report.latex.text import SIZE, SPACING, paragraph, text_width, unbroken, wrapped

#: Environments of one and of two columns, each with its width in points. Conference columns
#: measure 229 (article) to 252 pt, e.g. 237 in CVPR and 234.9 in ICML.
ENVIRONMENTS = {"table": 228.0, "table*": 468.0}
#: The width of the space between two columns of a table, in points.
SPACE = 6.0
#: Headings are broken to the width of their column or longest word, up to this many points.
HEADING = 60.0
#: Widths in points to which labels and cells are broken: the first that needs no more blocks.
LABELS, CELLS = (math.inf, 110.0, 84.0, 60.0), (math.inf, 62.0)
#: Lines on a page of `article`, less some space, and the minimum left for the rows of a float.
LINES, FEWEST = 53, 15
#: The size of captions relative to the text of tables.
LARGER = 1.25


@dataclass(frozen=True)
class TexCell:
    """A cell as plain text: a number followed by a sign, then an interval, and a line below.

    In narrow columns, the interval is placed below the number.
    """

    text: str
    bold: bool = False
    sign: str = ""
    interval: str = ""
    below: str = ""


@dataclass(frozen=True)
class TexRow:
    """A row: its label and a cell for each column; `short` is the label below the row before."""

    label: str
    cells: tuple[TexCell, ...]
    short: str = ""

    @property
    def shown(self) -> str:
        """The label as shown in the table."""
        return self.short or self.label


@dataclass(frozen=True)
class TexSection:
    """Rows below a common heading, which may be empty."""

    title: str
    rows: tuple[TexRow, ...]


@dataclass(frozen=True)
class TexTable:
    """A table as plain text.

    The caption is the subject, followed by details after a colon; `head` is the heading of the
    labels, `notes` are placed below the table. If it `turns`, rows and columns may be exchanged.
    """

    name: str
    subject: str
    details: str
    head: str
    columns: tuple[str, ...]
    sections: tuple[TexSection, ...]
    notes: tuple[str, ...] = ()
    turns: bool = False

    def transposed(self) -> TexTable:
        """Return the table of a single section with rows and columns exchanged."""
        (section,) = self.sections
        cells = zip(*(row.cells for row in section.rows), strict=True)
        rows = tuple(TexRow(*each) for each in zip(self.columns, cells, strict=True))
        columns = tuple(row.label for row in section.rows)
        return replace(self, head="", columns=columns, sections=(TexSection("", rows),))


@dataclass(frozen=True)
class _Cells:
    """How cells break: text to a width, and intervals to a separate line unless `inline`."""

    width: float
    inline: bool

    def lines(self, cell: TexCell) -> tuple[list[str], list[str]]:
        """Return the lines of the number, and those after it, an inline interval first."""
        after = [cell.interval] if cell.interval else []
        number = [*wrapped(cell.text + cell.sign, self.width)]
        return number, [*after, *filter(None, [cell.below])]

    def measured(self, cell: TexCell) -> float:
        """Return the width of a cell in points."""
        lines, after = self.lines(cell)
        widths = [text_width(line, bold=cell.bold) for line in lines]
        if self.inline and cell.interval:
            widths[-1] += text_width(f" {after.pop(0)}")
        return max([*widths, *map(text_width, after)])

    def tex(self, cell: TexCell) -> list[str]:
        """Return the lines of a cell as LaTeX."""
        lines, after = ([*map(escaped, part)] for part in self.lines(cell))
        if cell.bold:
            lines = [rf"\textbf{{{line}}}" for line in lines]
        if self.inline and cell.interval:
            lines[-1] += f" {after.pop(0).removeprefix('{}')}"
        return [*lines, *after]


@dataclass(frozen=True)
class _Block:
    """Columns, by index, that fit next to labels of a width, and how headings and cells break."""

    label: float
    columns: tuple[int, ...]
    headings: tuple[tuple[str, ...], ...]
    cells: _Cells


def short_label(label: str, before: str) -> str:
    """Return the part of a group's label after the name that it shares; empty if it shares none.

    >>> short_label("CE + SD-Dropout", "CE"), short_label("CE + X", "CE + SD-Dropout")
    ('+ SD-Dropout', '+ X')
    """
    base = before.partition(" + ")[0]
    return label.removeprefix(base).strip() if base and label.startswith(f"{base} + ") else ""


def table_tex(table: TexTable, environment: str = "table") -> str:
    """Return a table as one or several floats of the environment "table" or "table*"."""
    width = ENVIRONMENTS[environment]
    blocks = _blocks(table, width)
    if table.turns and len(blocks) > 1:
        other = table.transposed()
        turned = _blocks(other, width)
        if len(turned) < len(blocks):
            table, blocks = other, turned
    room = _room(table, width)
    panels = [panel for block in blocks for panel in _panels(table, block, width, room)]
    parts = _parts(panels, room)
    lines = [r"% needs \usepackage{booktabs}"]
    for number, part in enumerate(parts, start=1):
        caption = f"{table.subject}: {table.details}"
        if number > 1:
            caption = f"{table.subject}, continued ({number} of {len(parts)})."
        label = table.name if number == 1 else f"{table.name}-{number}"
        lines += _float(environment, caption, label, part, table.notes)
    return "\n".join([*lines, ""])


def _blocks(table: TexTable, width: float) -> list[_Block]:
    """Return the fewest blocks of columns that fit, with the widest labels that allow them."""
    ways = [_Cells(cell, inline) for cell in CELLS for inline in (True, False)]
    columns = [_columns(table, way) for way in ways]
    choices = [_arranged(table, width, label, each) for each in columns for label in LABELS]
    return min(filter(None, choices), key=len)


@dataclass(frozen=True)
class _Columns:
    """The columns of a table whose cells break in one way: their headings and widths."""

    way: _Cells
    headings: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]


def _columns(table: TexTable, way: _Cells) -> _Columns:
    """Return the columns, each as wide as its widest cell or the narrowest heading it needs."""
    rows = [row.cells for section in table.sections for row in section.rows]
    headings, widths = [], []
    for index, title in enumerate(table.columns):
        needed = max((way.measured(cells[index]) for cells in rows), default=0.0)
        longest = max(map(text_width, unbroken(title)))
        headings.append(wrapped(title, max(needed, min(longest, HEADING))))
        widths.append(SPACE + max(needed, *map(text_width, headings[-1])))
    return _Columns(way, tuple(headings), tuple(widths))


def _arranged(table: TexTable, width: float, label: float, columns: _Columns) -> list[_Block]:
    """Return blocks of columns for labels broken to a width; none if a column is too wide."""
    labels = [table.head, *(row.shown for section in table.sections for row in section.rows)]
    of_label = max(text_width(line) for text in labels for line in wrapped(text, label))
    available = width - of_label
    if max(columns.widths, default=0.0) > available:
        return []
    shares = _shares(columns.widths, available, len(columns.widths))
    even = _shares(columns.widths, available, math.ceil(len(columns.widths) / len(shares)))
    shares = min(even, shares, key=len)
    return [
        _Block(of_label, share, tuple(columns.headings[i] for i in share), columns.way)
        for share in shares
    ]


def _shares(widths: Sequence[float], available: float, most: int) -> list[tuple[int, ...]]:
    """Return the indices of consecutive columns that fit, at most `most` together."""
    shares: list[list[int]] = [[]]
    free = available
    for index, width in enumerate(widths):
        if shares[-1] and (width > free or len(shares[-1]) == most):
            shares.append([])
            free = available
        shares[-1].append(index)
        free -= width
    return [tuple(share) for share in shares]


def _room(table: TexTable, width: float) -> int:
    """Return the number of lines that a float's caption and notes leave for panels."""
    caption = wrapped(f"{table.subject}: {table.details}", width / LARGER)
    above = LARGER * (len(caption) + 1)
    return max(FEWEST, LINES - round(above) - len(wrapped(" ".join(table.notes), width)))


@dataclass(frozen=True)
class _Panel:
    """A `tabular` as lines of LaTeX, and its height in lines of text."""

    lines: tuple[str, ...]
    height: int


def _panels(table: TexTable, block: _Block, width: float, room: int) -> Iterator[_Panel]:
    """Yield the rows of a block, in as many panels as necessary."""
    titles = [[*map(escaped, lines)] for lines in block.headings]
    head = _row(_label(table.head, block), titles, "b")
    height = max((len(lines) for lines in block.headings), default=1) + 1
    body, used = list[str](), height
    for section in table.sections:
        heading = [*map(escaped, wrapped(section.title, width))] if section.title else []
        new = True
        for row in section.rows:
            lines = [block.cells.tex(row.cells[index]) for index in block.columns]
            label = _label(row.shown, block)
            rows = max(map(len, [label, *lines]))
            if body and used + rows + new * len(heading) > room - 2:
                yield _panel(head, body, block, used)
                body, used, new = [], height, True
            if heading and new:
                body += _heading(heading, 1 + len(block.columns), first=not body)
                used += len(heading) + 1
            body.append(_row(label, lines, "t"))
            used, new = used + rows, False
    yield _panel(head, body, block, used)


def _label(text: str, block: _Block) -> list[str]:
    return [*map(escaped, wrapped(text, block.label))]


def _panel(head: str, body: Sequence[str], block: _Block, height: int) -> _Panel:
    lines = (
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(block.columns)}@{{}}}}",
        *(r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"),
    )
    return _Panel(lines, height + 2)


def _heading(lines: Sequence[str], columns: int, *, first: bool) -> list[str]:
    """Return the heading of a section, which spans all columns."""
    text = _stack([rf"\textit{{{line}}}" for line in lines], "l", "t")
    space = [] if first else [r"\addlinespace"]
    return [*space, rf"\multicolumn{{{columns}}}{{@{{}}l}}{{{text}}} \\"]


def _row(label: Sequence[str], cells: Sequence[Sequence[str]], at: str) -> str:
    texts = [_stack(label, "l", at), *(_stack(lines, "r", at) for lines in cells)]
    return rf"{' & '.join(texts)} \\"


def _stack(lines: Sequence[str], align: str, at: str) -> str:
    """Return lines one above the other: the last (`at` "b") or the first ("t") in the row's."""
    if len(lines) == 1:
        return lines[0]
    body = r"\\".join(lines)
    return rf"\begin{{tabular}}[{at}]{{@{{}}{align}@{{}}}}{body}\end{{tabular}}"


def _parts(panels: Sequence[_Panel], room: int) -> list[list[_Panel]]:
    """Return the panels of each float."""
    parts: list[list[_Panel]] = []
    used = 0
    for panel in panels:
        if not parts or used + panel.height > room:
            parts.append([])
            used = 0
        parts[-1].append(panel)
        used += panel.height
    return parts


def _float(
    environment: str, caption: str, label: str, panels: Sequence[_Panel], notes: Sequence[str]
) -> list[str]:
    bodies = itertools.chain.from_iterable((r"\par\medskip", *panel.lines) for panel in panels)
    below = paragraph(" ".join(notes))
    return [
        rf"\begin{{{environment}}}",
        r"\centering\sloppy\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{paragraph(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\fontsize{{{SIZE:g}}}{{{SPACING:g}}}\selectfont",
        rf"\setlength{{\tabcolsep}}{{{SPACE / 2:g}pt}}",
        *itertools.islice(bodies, 1, None),
        *([rf"\par\smallskip\raggedright {below}\par"] if below else []),
        rf"\end{{{environment}}}",
    ]
