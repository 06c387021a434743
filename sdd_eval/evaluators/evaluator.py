"""The base class of evaluators: numbers with intervals from `statistics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, with_interval
from sdd_eval.metrics.registry import Metric
from sdd_eval.protocol import Protocol
from sdd_eval.records import CLASSIFICATION, Measurement, Task
from sdd_eval.statistics.statistic import Statistic


@dataclass(frozen=True)
class Evaluator:
    """Base class of evaluators: metrics computed from per-image arrays.

    A subclass is a frozen dataclass of settings with a `name`, a `version`, a method `collect` that
    runs the network and returns `Arrays`, and a method `statistics` that defines the numbers. It
    inherits the setting `intervals`. Values, intervals and paired tests follow from these.
    `metrics` registers the metrics of an evaluator of another package.
    """

    task: ClassVar[Task] = CLASSIFICATION
    metrics: ClassVar[tuple[Metric, ...]] = ()

    intervals: Intervals = field(default=INTERVALS, kw_only=True, metadata={"stage": "score"})
    """Settings of the intervals."""

    def statistics(self, arrays: Arrays) -> Iterable[Statistic]:
        """Return the statistics of the arrays that `collect` returned."""
        raise InputError(f"{type(self).__name__} has no method `statistics`")

    def score(self, arrays: Mapping[str, Any]) -> list[Measurement]:
        """Return the numbers of the arrays with their intervals."""
        return list(measurements(self.statistics(Arrays.of(arrays)), self.intervals))


def task_of(evaluator: Any) -> Task:
    """Return the task of the networks that an evaluator, or a class of one, evaluates."""
    task: Task = getattr(evaluator, "task", CLASSIFICATION)
    return task


def score(evaluator: Any, arrays: Mapping[str, Any]) -> tuple[Measurement, ...]:
    """Return the numbers of any evaluator with their intervals, from its per-image arrays.

    They are those of its `statistics`, whether or not it is an `Evaluator`. An evaluator without
    that method has a method `score`; its numbers have the intervals that it gives them and no
    paired test.
    """
    if not hasattr(evaluator, "statistics"):
        return tuple(evaluator.score(arrays))
    intervals = getattr(evaluator, "intervals", INTERVALS)
    return tuple(measurements(evaluator.statistics(Arrays.of(arrays)), intervals))


def measurements(statistics: Iterable[Statistic], intervals: Intervals) -> Iterator[Measurement]:
    """Yield the numbers of statistics with their intervals."""
    for statistic in statistics:
        bounds = statistic.intervals(intervals.level, intervals.number)
        rows = zip(statistic.quantities, statistic.values.tolist(), bounds, strict=True)
        for (metric, unit, at, protocol, fitted), value, interval in rows:
            number = Measurement(metric, value, unit, at, Protocol(protocol), fitted=fitted)
            yield with_interval(number, interval)
