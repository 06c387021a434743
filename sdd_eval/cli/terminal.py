"""Numbers, tables and paths as a terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdd_eval.metrics.formatting import format_interval, format_value
from sdd_eval.metrics.registry import metric
from sdd_eval.records import Measurement


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


def axes(measurement: Measurement) -> str:
    """Return the coordinates of a measurement, e.g. `epsilon=0.2`."""
    return " ".join(f"{axis}={value}" for axis, value in measurement.at.items())


def value(measurement: Measurement) -> str:
    """Return a value in the unit in which its metric is shown."""
    return format_value(metric(measurement.metric, measurement.unit), measurement.value)


def interval(measurement: Measurement) -> str:
    """Return an interval in the unit of its value; empty where there is none.

    >>> interval(Measurement("accuracy", 0.5, "fraction", {}, "", 0.4, 0.6, 0.95))
    '40.0 to 60.0'
    """
    if measurement.low is None:
        return ""
    entry = metric(measurement.metric, measurement.unit)
    return format_interval(entry, measurement.low, measurement.high)


def level(measurement: Measurement, levels: set[float]) -> str:
    """Return the level of an interval if a table has intervals of several levels, else nothing.

    >>> level(Measurement("accuracy", 0.5, "fraction", {}, "", 0.4, 0.6, 0.95), {0.9, 0.95})
    ' at 95 %'
    """
    if len(levels) < 2 or measurement.level is None:
        return ""
    return f" at {100 * measurement.level:g} %"
