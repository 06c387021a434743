"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any

from sdd_eval.statistics.seeds import SeedSummary


def shown(value: SeedSummary, percent: bool) -> str:
    """Mean ± standard deviation: percent with one decimal, fractions with three.

    >>> shown(Spread(0.9712, 0.0023, 3), True), shown(Spread(0.0432, float("nan"), 1), False)
    ('97.1 ± 0.2', '0.043')
    """
    factor, digits = (100, 1) if percent else (1, 3)
    mean = f"{value.mean * factor:.{digits}f}"
    return mean if math.isnan(value.std) else f"{mean} ± {value.std * factor:.{digits}f}"


def exact(mean: float, std: float, n: int | None = None) -> str:
    """Mean, spread and, where it is given, count for the tables behind figures, as stored.

    >>> exact(12.0, float("nan"), 1), exact(0.51239, 0.00042, 3), exact(0.51239, 0.00042)
    ('12', '0.5124 ± 0.0004 (3)', '0.5124 ± 0.0004')
    """
    if math.isnan(std):
        return _digits(mean)
    return f"{_digits(mean)} ± {_digits(std)}" + ("" if n is None else f" ({n})")


def _digits(value: float) -> str:
    """Four decimals; whole numbers without, small ones in powers of ten."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) >= 5e-4 else f"{value:.1e}"


def signed(value: float, percent: bool) -> str:
    """A difference with its sign: "+1.2" or "−0.010"."""
    text = f"{value * 100:+.1f}" if percent else f"{value:+.3f}"
    return text.replace("-", "−")


def setting(value: Any) -> str:
    """A setting's value: a number in few digits, a list with commas, nothing as "—"."""
    if value is None or value == "" or value == [] or value != value:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(setting(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting(each)}" for name, each in value.items()) or "—"
    return str(value)
