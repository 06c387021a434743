"""The registry of metrics: title, unit, direction, range, format, family, definition and source.

Tables, figures, sentences and the documentation take these facts from here. An evaluator of another
package registers its metrics in its class attribute `metrics`; a metric that nobody registered has
its name as title, no direction, and four decimals.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdd_eval import plugins
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Metric:
    """Facts about a metric.

    Attributes:
        name: name in results and study files.
        title: name in tables and sentences.
        unit: unit of the stored value; rates are fractions.
        better: which values are better; empty if neither are.
        lowest, highest: range of the values.
        percent: whether tables show it in percent.
        digits: decimals in tables.
        family: what it is about.
        definition: one sentence.
        source: the paper that defines it; empty for common knowledge.
    """

    name: str
    title: str
    definition: str
    unit: str = "fraction"
    better: Literal["higher", "lower", ""] = ""
    lowest: float = 0.0
    highest: float = 1.0
    percent: bool = True
    digits: int = 1
    family: str = ""
    source: str = ""

    @property
    def arrow(self) -> str:
        """The direction of better values as an arrow; empty without a direction."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]


def metric(name: str) -> Metric:
    """Return a metric by name, of this package or of an installed evaluator.

    >>> metric("ece").title, metric("ece").better, metric("my_rate").title
    ('ECE', 'lower', 'my rate')
    """
    known = built_in().get(name) or _of_plugins().get(name)
    if known is not None:
        return known
    return Metric(name, name.replace("_", " "), "", unit="", percent=False, digits=4)


@functools.cache
def _of_plugins() -> dict[str, Metric]:
    """Return the metrics that the evaluators of other packages register."""
    found: dict[str, Metric] = {}
    for name in plugins.names("evaluators"):
        try:
            evaluator = plugins.load("evaluators", name)
        except InputError:  # a broken plugin is reported where it is used
            continue
        found |= {one.name: one for one in getattr(evaluator, "metrics", ())}
    return found


@functools.cache
def built_in() -> dict[str, Metric]:
    """Return the metrics of this package by name, in the order of `metrics.csv`."""
    with Path(__file__).with_name("metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [_metric(row) for row in csv.DictReader(file)]
    return {one.name: one for one in rows}


def _metric(row: dict[str, Any]) -> Metric:
    """Return the metric of a row of the table."""
    numbers = {"lowest": float(row["lowest"]), "highest": float(row["highest"])}
    shown = {"percent": row["percent"] == "yes", "digits": int(row["digits"])}
    return Metric(**{**row, **numbers, **shown})
