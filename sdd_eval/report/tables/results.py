"""Runs become one tidy table: a row a number, with where it holds and how it was measured.

Columns, in this order:

- study, checkpoint, method, sd_dropout, dataset, arch, seed: what was measured, on which images;
  method, sd_dropout and seed are empty for an imported network.
- evaluator, metric, value, unit, low, high: the number (fractions, never percent), its interval.
- n, limited: how many images, and whether they are a subset that `--limit` chose.
- protocol: the convention in words. data: each data set with how far it is its publisher's.
- group, setting: the checkpoints over whose seeds means are taken, and what sets the group apart
  besides its method. test_set: the clean set behind `dataset`. fingerprint: of the data's content.
- run: the file of the run, below the reports' folder's `runs`. note: why a row is in no mean.
- level, interval: of low and high, and how they were made; empty where there are none.
- then the axes, where the number holds: corruption severity epsilon variant outliers detector
  temperature bins, and whatever others there are, by name.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdd_eval.records import Measurement, Run
from sdd_eval.report.runs import Found
from sdd_eval.report.tables.groups import arch_of, group_labels, recipe_of, test_set_of

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "study",
    "checkpoint",
    "method",
    "sd_dropout",
    "dataset",
    "arch",
    "seed",
    "evaluator",
    "metric",
    "value",
    "unit",
    "low",
    "high",
    "n",
    "limited",
    "protocol",
    "data",
    "group",
    "setting",
    "test_set",
    "fingerprint",
    "run",
    "note",
    "level",
    "interval",
)
AXES = (
    "corruption",
    "severity",
    "epsilon",
    "variant",
    "outliers",
    "detector",
    "temperature",
    "bins",
)

_NUMBERS = ("sd_dropout", "value", "low", "high", "level")
#: What no axis may be called: columns of this table and of the summary.
_TAKEN = frozenset((*COLUMNS, "mean", "std", "images"))


def tidy(runs: Sequence[Found]) -> pandas.DataFrame:
    """The table of all measurements of the runs; rows that enter no mean have a `note`."""
    import pandas

    from sdd_eval.report.tables.exclusions import audited

    labels = group_labels(runs)
    rows = [row for found in runs for row in _rows(found, labels[found.name])]
    axes = _axes(rows)
    table = pandas.DataFrame(rows, columns=[*COLUMNS, *axes], dtype=object)
    table = table.astype(dict.fromkeys(_NUMBERS, float)).astype({"n": int, "limited": bool})
    created = {found.name: str(found.run.provenance.get("created", "")) for found in runs}
    weights = {found.name: _identity(found.run) for found in runs}
    versions = {found.name: found.run.evaluator_version for found in runs}
    formats = {found.name: found.run.format for found in runs}
    return audited(table, created, weights, versions, formats)


def _identity(run: Run) -> str:
    """What makes a network: its weights, then what its card says of it (its mean and std too)."""
    model = json.dumps(run.provenance.get("model"), sort_keys=True)
    return f"{run.weights_sha256} {model}"


def axes_of(results: pandas.DataFrame) -> list[str]:
    """The axes of a table: all columns after `note`."""
    return [str(name) for name in results.columns if name not in COLUMNS]


def _axes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The known axes, then all others by name."""
    others = {name for row in rows for name in row} - {*COLUMNS, *AXES}
    return [*AXES, *sorted(others)]


def _rows(found: Found, labels: tuple[str, str]) -> list[dict[str, Any]]:
    """One row for each measurement of a run."""
    run, recipe = found.run, recipe_of(found) or {}
    shared = {
        "study": found.study,
        "checkpoint": run.checkpoint,
        "method": recipe.get("method"),
        "sd_dropout": recipe.get("sd_dropout"),
        "dataset": run.dataset,
        "arch": arch_of(found),
        "seed": recipe.get("seed"),
        "evaluator": run.evaluator,
        "n": run.n,
        "limited": run.limit is not None,
        "group": labels[0],
        "setting": labels[1],
        "test_set": test_set_of(found),
        "fingerprint": run.data_fingerprint[:12],
        "run": found.name,
        "note": "",
    }
    data = functools.cache(lambda outliers: sys.intern(origins(found, outliers)))
    return [{**shared, **_measured(each, data)} for each in run.measurements]


def _measured(measurement: Measurement, data: Callable[[Any], str]) -> dict[str, Any]:
    """What differs from row to row of a run; an axis named as a column gets `at_` before it.

    Each different text is in memory once, and so is told from others without being read.
    """
    at = {f"at_{name}" if name in _TAKEN else name: _cell(v) for name, v in measurement.at.items()}
    return {
        "metric": sys.intern(measurement.metric),
        "value": measurement.value,
        "unit": sys.intern(measurement.unit),
        "low": measurement.low,
        "high": measurement.high,
        "level": measurement.level,
        "interval": sys.intern(measurement.interval),
        "protocol": sys.intern(measurement.protocol),
        "data": data(measurement.at.get("outliers")),
        **at,
    }


def _cell(value: Any) -> Any:
    """A value of an axis as one cell: lists and objects become text."""
    if isinstance(value, str):
        return sys.intern(value)
    if value is None or isinstance(value, int | bool):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return str(value)


def origins(found: Found, outliers: Any = None) -> str:
    """The data behind a number, "NAME: origin" each; of the outlier sets only the one it is of."""
    data = found.run.provenance.get("data")
    if not isinstance(data, Mapping):
        return "unknown"
    own = test_set_of(found)
    named = [name for name in data if outliers not in data or name in (own, outliers)]
    # A network that held images out is measured on the same ones as one that did not.
    aside = [n for n in named if n != own and n.endswith("_validation") and _is_own(data[n])]
    named = [name for name in named if name not in aside]
    return "; ".join(f"{name}: {_origin(data[name])}" for name in named)


def _is_own(entry: Any) -> bool:
    return isinstance(entry, Mapping) and bool(entry.get("own"))


def _origin(entry: Any) -> str:
    return str(entry.get("origin", "unknown")) if isinstance(entry, Mapping) else str(entry)
