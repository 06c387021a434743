"""Numbers, tables and paths as a terminal shows them, and the standard streams."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Return rows in aligned columns, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]

    def line(row: list[str]) -> str:
        columns = zip(row, widths, numeric, strict=True)
        padded = (c.rjust(w) if right else c.ljust(w) for c, w, right in columns)
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, cells))


def width() -> int | None:
    """Return the columns of the terminal; None where output goes to a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitting_table(columns: Mapping[str, Sequence[str]], first: Sequence[str]) -> str:
    """Return columns as a table; one too wide for the terminal has two lines for each row.

    The columns `first` are then on the first line, and below it the others as NAME VALUE.
    """
    rows = list(zip(*columns.values(), strict=True))
    whole, limit = table(rows, [*columns]), width()
    if limit is None or max(map(len, whole.splitlines())) <= limit:
        return whole
    narrow = {name: columns[name] for name in first}
    header, *lines = table(list(zip(*narrow.values(), strict=True)), first).splitlines()
    others = [name for name in columns if name not in first]
    for index, line in enumerate(lines):
        below = ", ".join(
            f"{name} {columns[name][index]}" for name in others if columns[name][index]
        )
        wrapped = textwrap.wrap(below, limit, initial_indent="    ", subsequent_indent="    ")
        lines[index] = "\n".join([line, *wrapped])
    return "\n".join([header, *lines])


def _is_number(cell: str) -> bool:
    return cell.strip("%-−+,. ").replace(",", "").replace(".", "").isdigit() or cell in ("", "—")


def duration(seconds: float) -> str:
    """Return seconds in the unit that people use.

    >>> duration(0.4), duration(75), duration(9000), duration(400000)
    ('1 s', '75 s', '2.5 h', '4.6 d')
    """
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            amount = seconds / size
            return f"{max(1, round(amount))} {unit}" if unit != "h" else f"{amount:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def megabytes(size: int) -> str:
    """Return a number of bytes in MB.

    >>> megabytes(1_234_567)
    '1.2 MB'
    """
    return f"{size / 1e6:,.1f} MB"


def relative(path: Path) -> str:
    """Return a path relative to the working folder where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def print_warnings(texts: Iterable[str]) -> None:
    """Print warnings on standard error, a line each."""
    for text in texts:
        print(f"sdd-eval: warning: {text}", file=sys.stderr)


def open_standard_streams() -> None:
    """Give every closed standard stream a null device, and print "?" for unknown characters.

    Otherwise the first file that is opened would get the number of the closed stream, and whatever
    a library prints would end in it. Standard output in an encoding such as ASCII or Latin-1 would
    raise at the first "ε" and lose all that follows.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or _null_device()
    sys.stderr = sys.stderr or _null_device()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _null_device() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # open until the process ends
