"""A table as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: Characters with which a cell becomes a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def to_csv(table: pandas.DataFrame) -> str:
    """The table as CSV with `\\n` between lines; text that looks like a formula gets a `'`."""
    columns = [_cells(table.iloc[:, place]) for place in range(table.shape[1])]
    titles = ",".join(_quoted(str(harmless(name))) for name in table.columns)
    return "\n".join([titles, *map(",".join, zip(*columns, strict=True)), ""])


def _cells(column: pandas.Series[Any]) -> list[str]:
    """The cells of a column as they are written, empty where nothing is known.

    Each different text is looked at once. The csv module would look at every letter: of a hundred
    networks these are 80 MB, nearly all of them protocols.
    """
    empty = column.isna().tolist()
    cells: list[Any] = column.tolist()
    texts = {cell for cell in cells if isinstance(cell, str)}
    written = {text: _quoted(harmless(text)) for text in texts}
    return [
        written[cell] if isinstance(cell, str) else "" if gone else str(cell)
        for cell, gone in zip(cells, empty, strict=True)
    ]


def _quoted(text: str) -> str:
    """Text between quotes where it holds what would end a cell (RFC 4180).

    >>> _quoted("a, b"), _quoted("fog")
    ('"a, b"', 'fog')
    """
    if any(mark in text for mark in ',"\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, or for two lines; numbers stay as they are.

    >>> harmless("=1+1"), harmless(-0.5), harmless("ce")
    ("'=1+1", -0.5, 'ce')
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # a bare \r is not put between quotes
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) else text
