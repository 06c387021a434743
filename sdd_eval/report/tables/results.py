"""Build the table of all numbers (`results.csv`): one row per measurement.

Columns, in this order:

- study, checkpoint, method, sd_dropout, dataset, arch, seed: the network and the evaluated images;
  method, sd_dropout and seed are empty for an imported network.
- evaluator, metric, value, unit, low, high: the number (fractions, never percent) and its interval.
- n, limited: the number of images, and whether they are a subset chosen by `--limit`.
- protocol_id: the measurement's protocol, whose text `protocols.csv` has. fitted: the values found
  for the network, such as its temperature. data: each data set with its origin.
- group, setting: the checkpoints that means over seeds are taken over, and what sets the group
  apart besides its method. test_set: the clean test set behind `dataset`. fingerprint: hash of the
  data's content.
- run: the run's file, below the study's folder `runs`; "#accuracy" follows the one from whose
  logits accuracy is derived. Its row in `runs.csv` has the SHA-256 of the weights and the whole
  fingerprint. note: why the row is excluded from means.
  warning: why the numbers of the run may be wrong.
- level, interval_id: the confidence level of low and high, and their method, or why there are none,
  whose text `intervals.csv` has; empty without interval.
- then the axes: corruption, severity, epsilon, variant, outliers, detector, temperature, bins, and
  all others by name.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.protocol import text_id, values_text
from sdd_eval.records import Measurement
from sdd_eval.report.runs import StudyRun
from sdd_eval.report.tables.exclusions import with_notes
from sdd_eval.report.tables.groups import arch_of, group_labels, recipe_of, test_set_of

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

COLUMNS = (
    *("study", "checkpoint", "method", "sd_dropout", "dataset", "arch", "seed", "evaluator"),
    *("metric", "value", "unit", "low", "high", "n", "limited", "protocol_id", "fitted", "data"),
    *("group", "setting", "test_set", "fingerprint", "run", "note", "warning", "level"),
    "interval_id",
)
AXES = (
    *("corruption", "severity", "epsilon", "variant", "outliers", "detector", "temperature"),
    "bins",
)
#: The columns that all measurements of a run share.
_OF_RUN = (
    *("study", "checkpoint", "method", "sd_dropout", "dataset", "arch", "seed", "evaluator"),
    *("n", "limited", "group", "setting", "test_set", "fingerprint", "run", "note", "warning"),
)
_NUMERIC = ("sd_dropout", "value", "low", "high", "level")
#: Column names of this table and of the summary, which an axis must not have.
_RESERVED = frozenset((*COLUMNS, "mean", "std", "images"))


def tidy(runs: Sequence[StudyRun]) -> pandas.DataFrame:
    """Return the table of all measurements; rows excluded from means have a `note`."""
    import pandas

    labels = group_labels(runs)
    measured = [number for entry in runs for number in entry.run.measurements]
    per_run = [_run_cells(entry, labels[entry.name]) for entry in runs]
    sizes = np.array([len(entry.run.measurements) for entry in runs], dtype=int)
    cells: dict[str, Any] = {
        **{n: np.array([row[n] for row in per_run], object).repeat(sizes) for n in _OF_RUN},
        **_measurement_columns(measured),
        "data": [text for entry in runs for text in _origins_of(entry)],
    }
    axes = _axis_columns(measured)
    columns = {name: _typed(name, cells[name]) for name in COLUMNS}
    columns |= {name: pandas.Series(column, dtype=object) for name, column in axes.items()}
    table = pandas.DataFrame(columns)
    return with_notes(table, list(axes), {entry.name: entry.run for entry in runs})


def _typed(name: str, cells: Sequence[Any] | NDArray[Any]) -> pandas.Series[Any]:
    """Return a column as numbers, flags or objects."""
    import pandas

    kinds = {**dict.fromkeys(_NUMERIC, float), "n": int, "limited": bool}
    kind = kinds.get(name, object)
    return pandas.Series(np.array(cells, dtype=kind), dtype=kind)


def protocol_texts(runs: Sequence[StudyRun]) -> dict[str, str]:
    """Return the sentence of each protocol of the measurements by its id."""
    protocols = {
        number.protocol.id: number.protocol for run in runs for number in run.run.measurements
    }
    return {key: protocol.text for key, protocol in protocols.items() if key}


def interval_texts(runs: Sequence[StudyRun]) -> dict[str, str]:
    """Return the method of the intervals of the measurements by its id."""
    texts = {number.interval for run in runs for number in run.run.measurements}
    return {text_id(text): text for text in sorted(texts) if text}


def text_table(name: str, texts: Mapping[str, str]) -> pandas.DataFrame:
    """Return a table of texts by id, with the columns `name` and text."""
    import pandas

    table: pandas.DataFrame = pandas.DataFrame(
        list(texts.items()), columns=[name, "text"], dtype=object
    )
    return table


def axes_of(results: pandas.DataFrame) -> list[str]:
    """Return the axes of a table: all columns that are not in `COLUMNS`."""
    return [str(name) for name in results.columns if name not in COLUMNS]


def _run_cells(entry: StudyRun, labels: tuple[str, str]) -> dict[str, Any]:
    """Return the cells that all measurements of a run share."""
    run, recipe = entry.run, recipe_of(entry) or {}
    return {
        "study": entry.study,
        "checkpoint": run.checkpoint,
        "method": recipe.get("method"),
        "sd_dropout": recipe.get("sd_dropout"),
        "dataset": run.dataset,
        "arch": arch_of(entry),
        "seed": recipe.get("seed"),
        "evaluator": run.evaluator,
        "n": run.n,
        "limited": run.limit is not None,
        "group": labels[0],
        "setting": labels[1],
        "test_set": test_set_of(entry),
        "fingerprint": run.data_fingerprint[:12],
        "run": entry.name,
        "note": "",
        "warning": "; ".join(run.provenance.warnings or ()),
    }


def _measurement_columns(measured: Sequence[Measurement]) -> dict[str, list[Any]]:
    """Return the columns of measurements without their axes; equal texts are stored once."""
    return {
        "metric": [sys.intern(number.metric) for number in measured],
        "value": [number.value for number in measured],
        "unit": [sys.intern(number.unit) for number in measured],
        "low": [number.low for number in measured],
        "high": [number.high for number in measured],
        "level": [number.level for number in measured],
        "interval_id": [text_id(number.interval) for number in measured],
        "protocol_id": [number.protocol.id for number in measured],
        "fitted": [values_text(number.fitted) if number.fitted else "" for number in measured],
    }


def _axis_columns(measured: Sequence[Measurement]) -> dict[str, list[Any]]:
    """Return the axes as columns; one with the name of another column is prefixed with `at_`."""
    columns: dict[str, list[Any]] = {}
    for index, number in enumerate(measured):
        for name, value in number.at.items():
            column = f"at_{name}" if name in _RESERVED else name
            if column not in columns:
                columns[column] = [math.nan] * len(measured)
            text = type(value) is str
            columns[column][index] = sys.intern(value) if text else _axis_cell(value)
    for name in AXES:
        columns.setdefault(name, [math.nan] * len(measured))
    return {name: columns[name] for name in (*AXES, *sorted(columns.keys() - {*AXES}))}


def _origins_of(entry: StudyRun) -> Iterator[str]:
    """Yield the data behind each measurement of a run."""
    data = functools.cache(lambda outliers: sys.intern(origins(entry, outliers)))
    return (data(number.at.get("outliers")) for number in entry.run.measurements)


def _axis_cell(value: Any) -> Any:
    if value is None or isinstance(value, int | bool):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return str(value)


def origins(entry: StudyRun, outliers: Any = None) -> str:
    """Return "NAME: origin" of each data set behind a number; of the OOD sets only `outliers`."""
    data = entry.run.provenance.data
    if not data:
        return "unknown"
    test_set = test_set_of(entry)
    names = [name for name in data if outliers not in data or name in (test_set, outliers)]
    # Networks with and without a validation split are evaluated on the same images.
    validation = {name for name in names if data[name].own and name.endswith("_validation")}
    names = [name for name in names if name == test_set or name not in validation]
    return "; ".join(f"{name}: {data[name].origin or 'unknown'}" for name in names)
