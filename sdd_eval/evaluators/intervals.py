"""Confidence intervals of an evaluator's numbers, for the same network on new images.

They do not cover the variation between training seeds, which needs several networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from sdd_eval.records import Measurement
from sdd_eval.statistics.intervals import LEVEL, Interval
from sdd_eval.validation import BETWEEN_0_AND_1, FROM_1, check_bounds

#: What every interval of an evaluator refers to.
MEANING = "same network, new images"
#: The fewest resamples, if one is expensive.
FEWEST = 200
#: The total cost of all resamples of a number, in values processed: a few seconds.
AFFORDABLE = 1 << 27


@dataclass(frozen=True)
class Intervals:
    """Level of the intervals, and number of resamples."""

    level: float = LEVEL
    """Confidence level of the intervals."""
    resamples: int = 1000
    """Bootstrap resamples of the images; reduced to as few as 200 for expensive statistics."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_bounds(self, {"level": BETWEEN_0_AND_1, "resamples": FROM_1}, "--")

    def number(self, cost: float) -> int:
        """Return the number of resamples if one processes so many values."""
        return min(self.resamples, max(FEWEST, int(AFFORDABLE // max(cost, 1))))


#: The default settings.
INTERVALS = Intervals()


def with_interval(measurement: Measurement, interval: Interval) -> Measurement:
    """Return a number with its interval; with the reason why there is none if it is NaN.

    >>> interval = Interval(0.2, 0.8, 0.95, "Wilson score interval")
    >>> with_interval(Measurement("accuracy", 0.5, "fraction"), interval).interval
    'Wilson score interval; same network, new images'
    """
    if math.isnan(interval.low) or math.isnan(interval.high):
        return msgspec.structs.replace(measurement, interval=interval.method)
    return msgspec.structs.replace(
        measurement,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        interval=f"{interval.method}; {MEANING}" if interval.method else "",
    )
