"""Format settings for tables."""

from __future__ import annotations

from typing import Any


def format_setting(value: Any) -> str:
    """Return the value of a setting as text; "—" for None, NaN and empty values.

    >>> format_setting((0.5, True)), format_setting({"epsilon": None}), format_setting([])
    ('0.5, yes', 'epsilon —', '—')
    """
    if hasattr(value, "tolist"):  # a NumPy array, of which comparisons are arrays
        value = value.tolist()
    if value is None or value == "" or value == [] or value != value:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_setting(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_setting(item)}" for name, item in value.items()) or "—"
    return str(value)
