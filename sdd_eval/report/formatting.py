"""Format numbers and settings for tables and sentences."""

from __future__ import annotations

import math
from typing import Any

from sdd_eval.statistics.seeds import SeedSummary


def format_mean(value: SeedSummary, percent: bool) -> str:
    """Return mean ± standard deviation: percent with one decimal, fractions with three.

    >>> format_mean(SeedSummary(0.9712, 0.0023, 3), True)
    '97.1 ± 0.2'
    >>> format_mean(SeedSummary(0.0432, float("nan"), 1), False)
    '0.043'
    """
    factor, digits = (100, 1) if percent else (1, 3)
    mean = f"{value.mean * factor:.{digits}f}"
    return mean if math.isnan(value.std) else f"{mean} ± {value.std * factor:.{digits}f}"


def format_stored(mean: float, std: float, n: int | None = None) -> str:
    """Return mean ± standard deviation (count) in the stored unit, with four decimals.

    >>> format_stored(12.0, float("nan"), 1), format_stored(0.51239, 0.00042, 3)
    ('12', '0.5124 ± 0.0004 (3)')
    """
    if math.isnan(std):
        return _digits(mean)
    return f"{_digits(mean)} ± {_digits(std)}" + ("" if n is None else f" ({n})")


def _digits(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) >= 5e-4 else f"{value:.1e}"


def format_difference(value: float, percent: bool) -> str:
    """Return a difference with its sign: "+1.2" or "−0.010"."""
    text = f"{value * 100:+.1f}" if percent else f"{value:+.3f}"
    return text.replace("-", "−")


def format_setting(value: Any) -> str:
    """Return the value of a setting as text; "—" for None, NaN and empty values."""
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
