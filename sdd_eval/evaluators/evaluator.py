"""The base class of evaluators: numbers with intervals from `statistics`.

Intervals describe the same network on new images. They do not include the variation between
training seeds, which requires several networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.metrics.registry import Metric
from sdd_eval.protocol import Protocol
from sdd_eval.records import CLASSIFICATION, Measurement, Task
from sdd_eval.statistics.intervals import LEVEL
from sdd_eval.statistics.statistic import Statistic
from sdd_eval.validation import BETWEEN_0_AND_1, RESAMPLES, bounded, bounds_of, check_bounds

#: What every interval of an evaluator refers to.
MEANING = "same network, new images"
#: Minimum number of resamples when a single one is expensive.
FEWEST = 200
#: Total cost of all resamples for a number, in values processed: a few seconds.
AFFORDABLE = 1 << 27


@dataclass(frozen=True)
class Intervals:
    """Level of the intervals, and number of resamples."""

    level: float = bounded(LEVEL, BETWEEN_0_AND_1)
    """Confidence level of the intervals."""
    resamples: int = bounded(1000, RESAMPLES)
    """Bootstrap resamples of the images; reduced to as few as 200 for expensive statistics."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_bounds(self, bounds_of(Intervals), "--")

    def number(self, cost: float) -> int:
        """Return the number of resamples, given the number of values that each one processes."""
        return min(self.resamples, max(FEWEST, int(AFFORDABLE // max(cost, 1))))


#: The default settings.
INTERVALS = Intervals()


@dataclass(frozen=True)
class Evaluator:
    """Base class of evaluators: metrics computed from per-image arrays.

    A subclass is a frozen dataclass of settings with a `name`, a `version`, a method `collect` that
    runs the network and returns `Arrays`, and a method `statistics` that defines the numbers. It
    inherits the setting `intervals`. Values, intervals and paired tests follow from these.
    Evaluators from other packages register their metrics in `metrics`.
    """

    task: ClassVar[Task] = CLASSIFICATION
    metrics: ClassVar[tuple[Metric, ...]] = ()
    from_logits: ClassVar[bool] = False
    """Whether `collect` needs only the network's logits."""
    stores_logits: ClassVar[bool] = False
    """Whether its arrays `logits` (images, classes) and `labels` (images,) are those of the test
    set, so that accuracy follows from them."""

    intervals: Intervals = field(default=INTERVALS, kw_only=True, metadata={"stage": "score"})
    """Settings of the intervals."""

    def __post_init__(self) -> None:
        """Raise InputError if a setting is out of its bounds."""
        check_bounds(self, bounds_of(type(self)), "--")

    def check(self) -> None:
        """Raise InputError for settings with which no network can be evaluated.

        This is called before a network is trained or loaded.
        """

    def statistics(self, arrays: Arrays) -> Iterable[Statistic]:
        """Return the statistics of the arrays that `collect` returned."""
        raise InputError(f"{type(self).__name__} has no method `statistics`")

    def score(self, arrays: Mapping[str, Any]) -> list[Measurement]:
        """Return the numbers of the arrays with their intervals."""
        return list(score(self, arrays))


def check(evaluator: Any) -> None:
    """Raise InputError if no network can be evaluated with the settings of an evaluator."""
    getattr(evaluator, "check", lambda: None)()


def task_of(evaluator: Any) -> Task:
    """Return the task of the networks that an evaluator (instance or class) evaluates."""
    task: Task = getattr(evaluator, "task", CLASSIFICATION)
    return task


def score(evaluator: Any, arrays: Mapping[str, Any]) -> tuple[Measurement, ...]:
    """Return the numbers of any evaluator with their intervals, from its per-image arrays.

    They come from its method `statistics`, whether or not it is an `Evaluator`. An evaluator
    without that method has a method `score`, which sets the intervals itself; its numbers have no
    paired test.
    """
    if not hasattr(evaluator, "statistics"):
        return tuple(evaluator.score(arrays))
    intervals = getattr(evaluator, "intervals", INTERVALS)
    return tuple(measurements(evaluator.statistics(Arrays.of(arrays)), intervals))


def measurements(statistics: Iterable[Statistic], intervals: Intervals) -> Iterator[Measurement]:
    """Yield the numbers of statistics with their intervals, or with the reason for having none."""
    for statistic in statistics:
        bounds = statistic.intervals(intervals.level, intervals.number)
        rows = zip(statistic.quantities, statistic.values.tolist(), bounds, strict=True)
        for (metric, unit, at, protocol, fitted), value, interval in rows:
            low, high, method = interval.low, interval.high, interval.method
            what = metric, value, unit, at, Protocol(protocol)
            if math.isnan(low) or math.isnan(high):
                yield Measurement(*what, interval=method, fitted=fitted)
            else:
                method = method and f"{method}; {MEANING}"
                yield Measurement(*what, low, high, interval.level, method, fitted)
