"""A table as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: Characters with which a cell becomes a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def to_csv(table: pandas.DataFrame) -> str:
    """The table as CSV with `\\n` between lines; text that looks like a formula gets a `'`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(harmless(name) for name in table.columns)
    columns = [_cells(table.iloc[:, place]) for place in range(table.shape[1])]
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _cells(column: pandas.Series[Any]) -> list[Any]:
    """The cells of a column, empty where nothing is known: each different text is looked at once.

    pandas' own way takes seconds for a table of a hundred networks.
    """
    empty = column.isna().to_numpy()
    cells: list[Any] = column.tolist()
    if empty.any():
        cells = [None if gone else cell for cell, gone in zip(cells, empty, strict=True)]
    texts = {cell for cell in cells if isinstance(cell, str)} if column.dtype == object else set()
    changed = {text: safe for text in texts if (safe := harmless(text)) != text}
    if not changed:
        return cells
    return [changed.get(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, or for two lines; numbers stay as they are.

    >>> harmless("=1+1"), harmless(-0.5), harmless("ce")
    ("'=1+1", -0.5, 'ce')
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # a bare \r is not put between quotes
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) else text
