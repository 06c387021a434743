"""Write tables as CSV files that are safe to open in a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: First characters with which a spreadsheet evaluates a cell as a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def to_csv(table: pandas.DataFrame) -> str:
    r"""Return a table as CSV with `\\n` line ends; text that looks like a formula gets a `'`."""
    columns = [_cells(table.iloc[:, index]) for index in range(table.shape[1])]
    header = ",".join(_quoted(str(harmless(name))) for name in table.columns)
    return "\n".join([header, *map(",".join, zip(*columns, strict=True)), ""])


def _cells(column: pandas.Series[Any]) -> list[str]:
    """Return the cells of a column as text, with missing values empty.

    Each distinct text is processed once. The csv module would scan every character: 80 MB for a
    hundred networks, nearly all of it repeated protocols.
    """
    missing = column.isna().tolist()
    cells: list[Any] = column.tolist()
    texts = {cell for cell in cells if isinstance(cell, str)}
    quoted = {text: _quoted(harmless(text)) for text in texts}
    return [
        quoted[cell] if isinstance(cell, str) else "" if empty else str(cell)
        for cell, empty in zip(cells, missing, strict=True)
    ]


def _quoted(text: str) -> str:
    """Quote text that contains a delimiter (RFC 4180).

    >>> _quoted("a, b"), _quoted("fog")
    ('"a, b"', 'fog')
    """
    if any(mark in text for mark in ',"\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers are unchanged.

    >>> harmless("=1+1"), harmless(-0.5), harmless("ce")
    ("'=1+1", -0.5, 'ce')
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # a lone \r would not be quoted
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) else text
