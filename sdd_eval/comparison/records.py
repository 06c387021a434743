"""What is written down of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Where an adjusted p-value lies at most, a difference is told.
LEVEL = 0.05
#: Maxima: no resampling of the images gives them an interval that holds the truth.
MAXIMA = ("mce",)


@dataclass(frozen=True)
class MetricDifference:
    """One number of both sides: how much it differs, second less first, and the test of that.

    `low` and `high` bound the 95 % interval of the difference. `p` is the test's own, `adjust_rows`
    the one within its `family` of `size` tests; None where there is no test, and `test` says why.
    Over seeds, `detectable` is what would have been found with power 80 %, and `both_low` and
    `both_high` bound the interval under new seeds and new images at once.
    """

    evaluator: str
    dataset: str
    metric: str
    at: Mapping[str, Any]
    unit: str
    protocol: str
    n: int
    base: float
    other: float
    difference: float
    test: str
    low: float | None = None
    high: float | None = None
    p: float | None = None
    permutations: int | None = None
    family: str = ""
    size: int | None = None
    adjusted: float | None = None
    detectable: float | None = None
    both_low: float | None = None
    both_high: float | None = None

    @property
    def verdict(self) -> str:
        """What may be said: higher, lower, or not distinguishable; nothing outside a family.

        Both the adjusted p-value and the interval must carry it.
        """
        if self.adjusted is None or self.low is None or self.high is None:
            return ""
        if self.adjusted > LEVEL or self.low <= 0 <= self.high:
            return "not distinguishable"
        return "higher" if self.difference > 0 else "lower"


@dataclass(frozen=True)
class PairComparison:
    """Two networks, or two groups of seeds: what differs, and what could not be joined."""

    base: tuple[str, ...]
    others: tuple[str, ...]
    meaning: str
    rows: tuple[MetricDifference, ...]
    apart: tuple[str, ...] = ()
    families: Mapping[str, Any] = field(default_factory=dict)
    format: int = 1
