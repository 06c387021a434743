"""The intervals beside an evaluator's numbers: how they are made is a setting of scoring.

All of them answer the same question: where would the number lie for the same networks on new
images? How far it moves with another seed of training is another question, over several networks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
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
    log_odds_interval,
    percentile_interval,
)
from sdd_eval.statistics.intervals import LEVEL, Interval, wilson_interval

#: What every interval of an evaluator is about.
MEANING = "same network, new images"
#: Where a resample costs much there are at least so many.
FEWEST = 200
#: What all resamples of a number may cost, in values looked at: seconds, and not minutes.
AFFORDABLE = 1 << 27


@dataclass(frozen=True)
class Intervals:
    """How sure an interval is, and of how many resamples."""

    level: float = LEVEL
    """Level of the intervals: how often one covers what new images would show."""
    resamples: int = 1000
    """Resamples of the images behind an interval; where one costs much they are fewer, to 200."""

    def __post_init__(self) -> None:
        """Refuse what is no level, or no resample.

        Raises:
            InputError: a level outside (0, 1), or fewer than one resample.
        """
        if not 0 < self.level < 1:
            raise InputError(f"--level is {self.level:g}; it must lie between 0 and 1")
        if self.resamples < 1:
            raise InputError(f"--resamples is {self.resamples}; at least 1 is needed")

    def drawn(self, cost: float) -> int:
        """How many resamples are affordable where one looks at so many values."""
        return min(self.resamples, max(FEWEST, int(AFFORDABLE // max(cost, 1))))

    def mean(self, values: Any, lowest: float = 0.0, highest: float = math.inf) -> Interval:
        """Of the mean of per-image values (n,): the basic bootstrap's."""
        found = bootstrap_means(values, self.resamples)
        return self.basic(float(np.mean(values)), found, lowest, highest)

    def basic(
        self, estimate: float, found: Any, lowest: float = 0.0, highest: float = 1.0
    ) -> Interval:
        """Of a number that is `found` (resamples,) in resamples of the images."""
        return basic_interval(estimate, found, level=self.level, lowest=lowest, highest=highest)

    def of_ranking(self, metric: str, value: float, found: Any) -> Interval:
        """Of a metric of ranked images: percentiles of a rate at a threshold, else log-odds."""
        if "fpr" in metric:
            return percentile_interval(found, level=self.level)
        return log_odds_interval(value, found, level=self.level)

    def replicates(self, quantity: WeightedStatistic, images: Any, cost: float) -> Floats:
        """What a quantity is in resamples of the images; one looks at `cost` values."""
        return bootstrap_replicates(quantity, images, self.drawn(cost))


#: Those that an evaluator makes unless others are asked for.
INTERVALS = Intervals()


def beside(measurement: Measurement, interval: Interval) -> Measurement:
    """A number with its interval; with none where the interval is not defined.

    >>> beside(Measurement("accuracy", 0.5, "fraction"), wilson(5, 10)).interval
    'Wilson score interval; same network, new images'
    """
    if math.isnan(interval.low) or math.isnan(interval.high):
        return measurement
    return dataclasses.replace(
        measurement,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        interval=f"{interval.method}; {MEANING}",
    )


def share(
    metric: str, flags: Any, at: Mapping[str, Any], protocol: str, intervals: Intervals
) -> Measurement:
    """The share of distinct images that are flagged (n,), with Wilson's interval.

    >>> found = share("accuracy", [True, False], {}, "top-1", Intervals())
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.5, 0.095, 0.905)
    """
    number = Measurement(metric, float(np.mean(flags)), "fraction", at, protocol)
    found = wilson_interval(int(np.count_nonzero(flags)), len(flags), intervals.level)
    return beside(number, found)
