"""A table as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: Characters with which a cell becomes a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(table: pandas.DataFrame) -> str:
    """The table as CSV with `\\n` between lines; text that looks like a formula gets a `'`."""
    safe = table.astype(object).map(harmless)
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are.

    >>> harmless("=1+1"), harmless(-0.5), harmless("ce")
    ("'=1+1", -0.5, 'ce')
    """
    if isinstance(cell, str) and cell.lstrip(" \n").startswith(_FORMULA):
        return f"'{cell}"
    return cell
