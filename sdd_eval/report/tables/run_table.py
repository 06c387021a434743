"""The most important numbers of one run, as text in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdd_eval import plugins
from sdd_eval.metrics.formatting import format_interval, format_value
from sdd_eval.metrics.registry import metric
from sdd_eval.records import Measurement, Run

#: If a run has more numbers than this, only the most important ones are shown.
MAX_ROWS = 24


@dataclass(frozen=True)
class RunTable:
    """Cells by column; `shared` are the conditions of all rows, `interval` is the last column.

    `omitted` is the number of measurements without a row.
    """

    shared: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    interval: str
    omitted: int


def run_table(run: Run) -> RunTable:
    """Return the most important numbers of a run with their axes and intervals."""
    rows = _most_important(run.evaluator, list(run.measurements))
    levels = {m.level for m in rows if m.level is not None}
    heading = f"{100 * max(levels):g} % interval" if len(levels) == 1 else "interval"
    axes = dict.fromkeys(axis for number in rows for axis in number.at)
    values = {axis: [_axis_value(number, axis) for number in rows] for axis in axes}
    shared = [f"{axis} {texts[0]}" for axis, texts in values.items() if len({*texts}) == 1]
    varied = {axis: texts for axis, texts in values.items() if len({*texts}) > 1}
    columns = {"metric": [number.metric for number in rows], **varied}
    columns |= {"value": [format_value(metric(m.metric, m.unit), m.value) for m in rows]}
    columns[heading] = [_interval(number, levels) for number in rows]
    return RunTable(tuple(shared), columns, heading, len(run.measurements) - len(rows))


def _axis_value(number: Measurement, axis: str) -> str:
    value = number.at.get(axis, "")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interval(number: Measurement, levels: set[float]) -> str:
    """Return the interval, with its level if there are several; empty without one."""
    if number.low is None:
        return ""
    interval = format_interval(metric(number.metric, number.unit), number.low, number.high)
    several = len(levels) > 1 and number.level is not None
    return f"{interval} at {100 * (number.level or 0):g} %" if several else interval


def _most_important(evaluator: str, rows: list[Measurement]) -> list[Measurement]:
    """Return a few rows of each headline metric, means first, if there are too many to show.

    Rows of a single bin or severity are the first to be omitted.
    """
    whole = [m for m in rows if not {"bin", "severity"} & set(m.at)] or rows
    rows = rows if len(rows) <= MAX_ROWS else whole
    if len(rows) <= MAX_ROWS:
        return rows
    installed = evaluator in plugins.names("evaluators")
    plugin = plugins.load("evaluators", evaluator) if installed else None
    headline = getattr(plugin, "headline", ())
    metrics = dict.fromkeys(m.metric for m in rows if not headline or m.metric in headline)
    share = max(3, MAX_ROWS // len(metrics))
    selected = []
    for name in metrics:
        of_metric = (m for m in rows if m.metric == name)
        selected += sorted(of_metric, key=lambda m: (not _is_average(m), len(m.at)))[:share]
    return selected


def _is_average(measurement: Measurement) -> bool:
    return str(measurement.at.get("outliers", "average")).startswith("average")
