"""Tables of plain text, fitted to the width of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any


def text_table(
    rows: Sequence[Sequence[Any]],
    header: Sequence[str],
    width: int | None = None,
    first: Sequence[str] = (),
) -> str:
    """Format rows in aligned columns, numbers to the right, in lines of at most `width` characters.

    If a table is too wide, a row takes several lines. The first has the columns `first` and as many
    others as fit, by default as many leading ones as fit; the remaining ones follow as NAME VALUE.
    A word longer than `width`, such as a path, is not broken.

    >>> print(text_table([("a", 0.5, "fast"), ("b", 12.25, "")], ("net", "error", "note")))
    net  error  note
    a      0.5  fast
    b    12.25
    >>> print(text_table([("a", 0.5, "fast"), ("b", 12.25, "")], ("net", "error", "note"), 14))
    net  error
    a      0.5
        note fast
    b    12.25
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    lines = _aligned(cells)
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    above = _fitting(cells, width, [*map(list(header).index, first)])
    head, *shown = _aligned([[row[i] for i in above] for row in cells])
    output = [wrapped(head, width)]
    for row, line in zip(cells[1:], shown, strict=True):
        others = [i for i in range(len(header)) if i not in above and row[i]]
        below = ", ".join(f"{header[i]} {row[i]}".strip() for i in others)
        output += [wrapped(line, width)]
        output += [wrapped(below, width, "    ", "    ")] if below else []
    return "\n".join(output)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Format rows, the first of which is the header, as lines."""
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(map(_is_number, column[1:])) for column in columns]

    def line(row: Sequence[str]) -> str:
        parts = zip(row, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in parts).rstrip()

    return [*map(line, cells)]


def _is_number(cell: str) -> bool:
    return cell.strip("%-−+,. ").replace(",", "").replace(".", "").isdigit() or cell in ("", "—")


def _fitting(cells: Sequence[Sequence[str]], width: int, first: Sequence[int]) -> list[int]:
    """Return the columns `first` and all others that fit, or as many leading ones as fit."""

    def fit(columns: Iterable[int]) -> bool:
        rows = [[row[i] for i in sorted(columns)] for row in cells]
        return max(map(len, _aligned(rows))) <= width

    chosen = set(first or [0])
    for column in range(len(cells[0])):
        if fit({*chosen, column}):
            chosen.add(column)
        elif not first:
            break
    return sorted(chosen)


def wrapped(line: str, width: int | None, indent: str = "", further: str = "  ") -> str:
    """Wrap a text between words, with indents for its first and its following lines."""
    if width is None:
        return indent + line
    return textwrap.fill(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
