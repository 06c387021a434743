"""Numbers, tables and paths formatted for the terminal, and the standard streams."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from sdd_eval.cli.verbosity import is_quiet
from sdd_eval.text_table import text_table, wrapped


def table(rows: Sequence[Sequence[Any]], header: Sequence[str], first: Sequence[str] = ()) -> str:
    """Return a table that fits the width of the terminal; see `text_table`."""
    return text_table(rows, header, width(), first)


def width() -> int | None:
    """Return the width of the terminal in columns; None if output goes to a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say(text: str, file: TextIO | None = None) -> None:
    """Print lines wrapped to the terminal, unless a command prints only its result."""
    if not is_quiet():
        for line in text.splitlines() or [""]:
            print(wrapped(line, width()), file=file)


def duration(seconds: float) -> str:
    """Return a duration in a readable unit.

    >>> duration(0.4), duration(75), duration(9000), duration(400000)
    ('1 s', '75 s', '2.5 h', '4.6 d')
    """
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            amount = seconds / size
            return f"{max(1, round(amount))} {unit}" if unit != "h" else f"{amount:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def megabytes(size: int) -> str:
    """Format a number of bytes in MB.

    >>> megabytes(1_234_567)
    '1.2 MB'
    """
    return f"{size / 1e6:,.1f} MB"


def relative(path: Path) -> str:
    """Return a path relative to the working folder if it lies inside it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def print_warnings(texts: Iterable[str]) -> None:
    """Print warnings to standard error, one per line; none if only the result is printed."""
    for text in () if is_quiet() else texts:
        print(f"sdd-eval: warning: {text}", file=sys.stderr)


def open_standard_streams() -> None:
    """Replace closed standard streams by the null device, and unencodable characters by "?".

    Otherwise, the first file to be opened would get the file descriptor of the closed stream, and
    anything a library prints would end up in that file. Standard output with an encoding such as
    ASCII or Latin-1 would raise an error at the first "ε" and lose everything after it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, i.e. this one
    sys.stdout = sys.stdout or _null_device()
    sys.stderr = sys.stderr or _null_device()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _null_device() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # open until the process ends
