"""Means over seeds, and which rows may enter a mean, a figure or a comparison."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.metrics.names import display_name
from sdd_eval.report.tables.results import COLUMNS, axes_of
from sdd_eval.statistics.bootstrap import Floats

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

#: Measurement conditions: rows that differ in one of them are neither averaged nor compared.
CONDITIONS = ("n", "limited", "data", "protocol_id", "fingerprint")

#: Columns in which the rows of one mean may differ.
_AGGREGATED = (
    *("checkpoint", "seed", "value", "low", "high", "level", "interval_id", "run", "note"),
    *("fitted", "fingerprint"),
)

#: The columns of `summary.csv` before the axes; `n` counts networks, `images` the images of each.
SUMMARY = (
    *("study", "group", "method", "sd_dropout", "dataset", "arch", "evaluator", "metric", "mean"),
    *("std", "n", "unit", "images", "limited", "protocol_id", "data", "setting", "test_set"),
)


def summarise(results: pandas.DataFrame) -> pandas.DataFrame:
    """Return mean, sample standard deviation (NaN for one network) and count over seeds.

    Rows with a note are excluded; rows measured on a subset are not averaged with full ones.
    """
    axes = axes_of(results)
    rows = results[results["note"] == ""]
    by = [name for name in COLUMNS if name not in _AGGREGATED] + axes + ["fingerprint"]
    firsts, means, deviations, counts = _spreads(rows, by)
    summary = rows.iloc[firsts].assign(
        images=rows["n"].iloc[firsts], mean=means, std=deviations, n=counts
    )
    ordered = summary[[*SUMMARY, *axes]].reset_index(drop=True).astype(object)
    typed: pandas.DataFrame = ordered.astype({"mean": float, "std": float})
    return typed


def _spreads(
    rows: pandas.DataFrame, by: Sequence[str]
) -> tuple[NDArray[np.intp], Floats, Floats, NDArray[np.intp]]:
    """Return the first row, mean, deviation and count of each group, as `summarize_seeds` does."""
    number = _group_numbers(rows, by)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    values = rows["value"].to_numpy(dtype=float)[order]
    if not len(values):
        return starts, values, values, counts
    means = np.add.reduceat(values, starts) / counts
    squares = np.add.reduceat((values - np.repeat(means, counts)) ** 2, starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.sqrt(squares / (counts - 1))
    same = np.minimum.reduceat(values, starts) == np.maximum.reduceat(values, starts)
    deviations[same & (counts > 1)] = 0.0
    return order[starts], means, deviations, counts


def _group_numbers(rows: pandas.DataFrame, by: Sequence[str]) -> NDArray[np.intp]:
    """Return, for each row, the number of its group of equal values; faster than groupby."""
    import pandas

    number = np.zeros(len(rows), dtype=np.intp)
    for name in by:
        codes, known = pandas.factorize(rows[name])
        number = pandas.factorize(number * (len(known) + 1) + codes + 1)[0]
    return number


def usable(results: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows on which figures and headline numbers are based.

    Rows with a note are excluded, as are rows measured on a subset if the group has full ones of
    the same metric.
    """
    rows: pandas.DataFrame = results[results["note"] == ""]
    limited = rows["limited"].to_numpy(dtype=bool)
    if limited.any():
        number = _group_numbers(rows, ("study", "test_set", "group", "arch", "evaluator", "metric"))
        rows = rows[~(limited & np.isin(number, number[~limited]))]
    return rows


def most_common_conditions(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of each number that were measured under its most common conditions.

    A figure thus only compares numbers on the same images under one protocol. Among equally common
    conditions, those with all images are preferred, then those that come first.
    """
    number = _group_numbers(rows, ("evaluator", "dataset", "metric", *axes_of(rows)))
    condition = _group_numbers(rows, CONDITIONS)
    pair = _group_numbers(rows.assign(number=number, condition=condition), ("number", "condition"))
    counts = np.bincount(pair)
    first = np.full(len(counts), len(rows), dtype=np.intp)
    np.minimum.at(first, pair, np.arange(len(rows)))
    limited = rows["limited"].to_numpy(dtype=bool)[first]
    order = np.lexsort((first, limited, -counts, number[first]))
    chosen = order[np.diff(number[first[order]], prepend=-1) != 0]
    selected: pandas.DataFrame = rows[np.isin(pair, chosen)]
    return selected


@dataclass(frozen=True)
class ComparableResults:
    """The rows of one study, test set and architecture, which may be compared."""

    study: str
    test_set: str
    arch: str
    results: pandas.DataFrame

    @property
    def title(self) -> str:
        """The test set and the architecture, in their conventional spelling."""
        return f"{display_name(self.test_set)}, {display_name(self.arch)}"

    @cached_property
    def summary(self) -> pandas.DataFrame:
        """The means over seeds of the usable rows."""
        return summarise(usable(self.results))


def comparable_results(results: pandas.DataFrame) -> list[ComparableResults]:
    """Split a table of results by study, test set and architecture, in order of appearance."""
    parts = []
    keys = ["study", "test_set", "arch"]
    for (study, test_set, arch), rows in results.groupby(keys, dropna=False, sort=False):
        name = arch if isinstance(arch, str) else "unknown architecture"
        parts.append(ComparableResults(str(study), str(test_set), name, rows))
    return parts


def distinguishing_names(parts: Sequence[ComparableResults]) -> list[tuple[str, ...]]:
    """Return the study and the test set with network of each part, each only if it differs."""
    names = [(part.study, f"{part.test_set}, {part.arch}") for part in parts]
    differ = [len(set(column)) > 1 for column in zip(*names, strict=True)]
    return [tuple(itertools.compress(settings, differ)) for settings in names]
