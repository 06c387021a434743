"""The statistics of a stored run, recomputed from its per-image arrays and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sdd_eval import plugins
from sdd_eval.arrays import Arrays
from sdd_eval.comparison.matching import StoredRun, run_differences
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.errors import InputError, one_line
from sdd_eval.evaluators.settings import from_stored
from sdd_eval.records import Measurement, Run
from sdd_eval.statistics.statistic import Statistic
from sdd_eval.store import readable_runs

#: What identifies a measurement within its run: the metric, and its axes as text.
Key = tuple[str, tuple[tuple[str, str], ...]]
NO_ARRAYS = "the per-image arrays were not stored"
NO_STATISTICS = "the evaluator does not define its numbers as statistics"
NOT_AMONG = "the evaluator's statistics do not include it"


def key(metric: str, at: Mapping[str, Any]) -> Key:
    """Return the key of a measurement; numbers among the axes are formatted with `g`.

    >>> key("fgsm_accuracy", {"variant": "pixel", "epsilon": 0.2})
    ('fgsm_accuracy', (('epsilon', '0.2'), ('variant', 'pixel')))
    """
    return metric, tuple(sorted((axis, _text(value)) for axis, value in at.items()))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


@dataclass(frozen=True)
class RunStatistics:
    """A run and its statistics, or the reason why it has none."""

    run: Run
    statistics: tuple[Statistic, ...]
    problem: str = ""

    def position(self, number: Measurement) -> tuple[int, int] | None:
        """Return the statistic that a measurement belongs to and its row there, if there is one."""
        return self._positions.get(key(number.metric, number.at))

    def untested_reason(self, number: Measurement) -> str:
        """Return why a measurement cannot be compared on the same images, or ""."""
        position = self.position(number)
        if position is None:
            return self.problem or NOT_AMONG
        return self.statistics[position[0]].untested

    @cached_property
    def _positions(self) -> dict[Key, tuple[int, int]]:
        return {
            key(quantity.metric, quantity.at): (index, row)
            for index, statistic in reversed(list(enumerate(self.statistics)))
            for row, quantity in enumerate(statistic.quantities)
        }


def statistics_of(stored: StoredRun) -> RunStatistics:
    """Return the statistics of a run, using the evaluator and settings that produced it."""
    run = stored.run
    try:
        kind = plugins.load("evaluators", run.evaluator)
        if not hasattr(kind, "statistics"):
            return RunStatistics(run, (), getattr(kind, "untested", NO_STATISTICS))
        if not run.arrays:
            return RunStatistics(run, (), NO_ARRAYS)
        evaluator = from_stored(kind, run.settings)
        return RunStatistics(run, tuple(evaluator.statistics(_with_baseline(stored))))
    except InputError as error:
        return RunStatistics(run, (), str(error))
    except KeyError as error:
        return RunStatistics(run, (), f"the stored arrays lack {error}")
    except (ValueError, IndexError, TypeError) as error:  # arrays from a damaged file
        return RunStatistics(run, (), f"the stored arrays do not fit the run: {one_line(error)}")


def untested_lines(rows: Iterable[MetricDifference]) -> list[str]:
    """Return a line with metrics, count and reason for each kind of untested measurements."""
    metrics_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.p is None:
            metrics_of.setdefault((row.evaluator, row.test), []).append(row.metric)
    return [
        f"{evaluator} {', '.join(dict.fromkeys(metrics))} ({len(metrics)}): {reason}"
        for (evaluator, reason), metrics in metrics_of.items()
    ]


def _with_baseline(stored: StoredRun) -> Arrays:
    """Return a run's arrays, with those of its baseline if the study has its runs."""
    names = tuple(map(str, stored.run.settings.get("baseline") or ()))
    runs = {name: _baseline_run(stored, name) for name in names}
    known = {name: run.arrays for name, run in runs.items() if run is not None}
    return stored.run.arrays.against(known if len(known) == len(names) else {})


def _baseline_run(stored: StoredRun, checkpoint: str) -> Run | None:
    """Return the newest run of a checkpoint that differs only in its standardisation."""
    folder = stored.path.parent.parent / checkpoint
    runs = []
    for _, run in readable_runs(sorted(folder.glob(f"{stored.run.evaluator}-*.json"))):
        differences = run_differences(stored.run, run)
        standardised = all(line.startswith("standardisation") for line in differences)
        if run.dataset == stored.run.dataset and standardised:
            runs.append(run)
    return max(runs, key=lambda run: run.provenance.created, default=None)
