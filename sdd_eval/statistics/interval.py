"""An interval, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass

#: How sure every interval of this package is meant to be.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a number would lie with other images; `how` says by which construction."""

    low: float
    high: float
    level: float
    how: str
