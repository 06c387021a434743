"""The registry of metrics: title, unit, direction, range, format, family, definition and source.

Tables, figures, sentences and the documentation take these facts from here. Evaluators from other
packages register their metrics in the class attribute `metrics`; an unregistered metric has its
name as title, no direction, and four decimals.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Mapping
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
        better: which values are better; empty if neither.
        lowest, highest: range of the values.
        percent: whether tables show the metric in percent.
        digits: decimals in tables.
        family: the topic that the metric belongs to.
        evaluators: the evaluators in this package that report it.
        definition: one-sentence definition.
        source: the paper that defines the metric; empty for common knowledge.
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
    evaluators: tuple[str, ...] = ()

    @property
    def arrow(self) -> str:
        """The direction of better values as an arrow; empty without a direction."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]

    @property
    def shown_unit(self) -> str:
        """The unit in tables."""
        return "%" if self.percent else self.unit

    @property
    def phrase(self) -> str:
        """The title within a sentence: in lower case unless it starts with a name.

        >>> metric("accuracy").phrase, metric("mca").phrase, metric("brier").phrase
        ('accuracy', 'mCA', 'Brier score')
        """
        word = self.title.split(" ")[0]
        common = word[1:].islower() and word not in _NAMES
        return self.title[:1].lower() + self.title[1:] if common else self.title


#: People whose names start a title.
_NAMES = ("Brier",)


def metric(name: str, unit: str = "") -> Metric:
    """Return a metric of this package or of an installed evaluator by name.

    An unregistered metric has the unit `unit`, and four decimals unless it is a count.

    >>> metric("ece").title, metric("ece").better, metric("my_rate").title
    ('ECE', 'lower', 'my rate')
    """
    others = (one for metrics in registered().values() for one in metrics if one.name == name)
    known = built_in().get(name) or next(others, None)
    if known is not None:
        return known
    digits = 0 if unit in ("images", "count") else 4
    title, infinity = name.replace("_", " "), math.inf
    return Metric(name, title, "", unit, "", -infinity, infinity, percent=False, digits=digits)


def registered() -> Mapping[str, tuple[Metric, ...]]:
    """Return the metrics registered by evaluators of other packages, by evaluator."""
    points = plugins.points("evaluators").items()
    others = (name for name, point in points if not point.value.startswith("sdd_eval."))
    return _registered(tuple(others))


@functools.lru_cache(maxsize=4)
def _registered(evaluators: tuple[str, ...]) -> Mapping[str, tuple[Metric, ...]]:
    metrics: dict[str, tuple[Metric, ...]] = {}
    for name in evaluators:
        try:
            metrics[name] = tuple(getattr(plugins.load("evaluators", name), "metrics", ()))
        except InputError:  # a broken plugin is reported where it is used
            continue
    return metrics


@functools.cache
def built_in() -> dict[str, Metric]:
    """Return the metrics of this package by name, in the order of `metrics.csv`."""
    with Path(__file__).with_name("metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [_metric(row) for row in csv.DictReader(file)]
    return {one.name: one for one in rows}


def _metric(row: dict[str, Any]) -> Metric:
    """Return the metric in a row of the table."""
    numbers = {"lowest": float(row["lowest"]), "highest": float(row["highest"])}
    shown = {"percent": row["percent"] == "yes", "digits": int(row["digits"])}
    return Metric(**{**row, **numbers, **shown, "evaluators": tuple(row["evaluators"].split())})
