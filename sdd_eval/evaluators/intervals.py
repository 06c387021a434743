"""Confidence intervals of an evaluator's numbers, for the same network on new images.

They do not cover the variation between training seeds, which needs several networks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import (
    Floats,
    WeightedStatistic,
    basic_interval,
    bootstrap_means,
    bootstrap_replicates,
)
from sdd_eval.statistics.intervals import LEVEL, Interval, wilson_interval
from sdd_eval.statistics.statistic import Statistic

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
    """Bootstrap resamples of the images; fewer, at least 200, if one is expensive."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: a level outside (0, 1), or fewer than one resample.
        """
        if not 0 < self.level < 1:
            raise InputError(f"--level is {self.level:g}; it must be between 0 and 1")
        if self.resamples < 1:
            raise InputError(f"--resamples is {self.resamples}; it must be 1 or more")

    def number(self, cost: float) -> int:
        """Return the number of resamples if one processes so many values."""
        return min(self.resamples, max(FEWEST, int(AFFORDABLE // max(cost, 1))))

    def mean(self, values: Any, lowest: float = 0.0, highest: float = math.inf) -> Interval:
        """Return the basic bootstrap interval of the mean of per-image values (n,)."""
        means = bootstrap_means(values, self.resamples)
        return self.basic(float(np.mean(values)), means, lowest, highest)

    def basic(
        self, estimate: float, resamples: Any, lowest: float = 0.0, highest: float = 1.0
    ) -> Interval:
        """Return the basic bootstrap interval from the number's resamples (resamples,)."""
        return basic_interval(estimate, resamples, level=self.level, lowest=lowest, highest=highest)

    def replicates(self, quantity: WeightedStatistic, images: Any, cost: float) -> Floats:
        """Return a quantity in resamples of the images; one resample processes `cost` values."""
        return bootstrap_replicates(quantity, images, self.number(cost))


#: The default settings.
INTERVALS = Intervals()


def score(evaluator: Any, arrays: Mapping[str, Any]) -> tuple[Measurement, ...]:
    """Return the numbers of an evaluator with their intervals, from its per-image arrays.

    They are those of its `statistics`; an evaluator without that method has a method `score`, whose
    numbers have the intervals that it gives them and no paired test.
    """
    if not hasattr(evaluator, "statistics"):
        return tuple(evaluator.score(arrays))
    intervals = getattr(evaluator, "intervals", INTERVALS)
    return tuple(measurements(evaluator.statistics(arrays), intervals))


def measurements(statistics: Iterable[Statistic], intervals: Intervals) -> Iterator[Measurement]:
    """Yield the numbers of statistics with their intervals."""
    for statistic in statistics:
        bounds = statistic.intervals(intervals.level, intervals.number)
        rows = zip(statistic.quantities, statistic.values.tolist(), bounds, strict=True)
        for (metric, unit, at, protocol), value, interval in rows:
            yield with_interval(Measurement(metric, value, unit, at, protocol), interval)


def with_interval(measurement: Measurement, interval: Interval) -> Measurement:
    """Return a number with its interval; with the reason why there is none if it is NaN.

    >>> with_interval(Measurement("accuracy", 0.5, "fraction"), wilson_interval(5, 10)).interval
    'Wilson score interval; same network, new images'
    """
    if math.isnan(interval.low) or math.isnan(interval.high):
        return dataclasses.replace(measurement, interval=interval.method)
    return dataclasses.replace(
        measurement,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        interval=f"{interval.method}; {MEANING}" if interval.method else "",
    )


def share(
    metric: str, flags: Any, at: Mapping[str, Any], protocol: str, intervals: Intervals
) -> Measurement:
    """Return the share of flagged images (n,), with Wilson's interval.

    >>> row = share("accuracy", [True, False], {}, "top-1", Intervals())
    >>> row.value, round(row.low, 3), round(row.high, 3)
    (0.5, 0.095, 0.905)
    """
    number = Measurement(metric, float(np.mean(flags)), "fraction", at, protocol)
    return with_interval(
        number, wilson_interval(int(np.count_nonzero(flags)), len(flags), intervals.level)
    )
