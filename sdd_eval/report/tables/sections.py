"""The page's tables of each evaluator: metrics and axes in rows, groups in columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import as_dicts, group_names, known_first, where
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.metrics.formatting import format_mean, format_setting
from sdd_eval.metrics.names import display_name
from sdd_eval.metrics.registry import Metric, metric
from sdd_eval.report.tables.summary import SUMMARY, ComparableResults
from sdd_eval.statistics.seeds import SeedSummary

if TYPE_CHECKING:
    import pandas

#: Evaluators of this package in the order of the page, with their titles.
TITLES = {
    "accuracy": "Accuracy",
    "calibration": "Calibration",
    "selective": "Selective prediction",
    "fgsm": "FGSM",
    "attack": "Attacks and audit",
    "corruption": "Corruption",
    "odin": "ODIN",
    "ood": "Out-of-distribution",
    "mask_variance": "Variance over masks",
    "history": "Gradients during training",
}
#: Up to this many protocols of an evaluator are written out in full.
WRITTEN_OUT = 12
#: Axes whose coordinates are names.
NAMED_AXES = ("attack", "corruption", "dataset", "detector", "outliers", "score")
#: The fields of each mean that a table shows, besides its axes.
_SHOWN = ["group", "mean", "std", "n", "images", "limited", "data", "protocol_id"]


@dataclass(frozen=True)
class TableRow:
    """One metric, by its title, at one point of its axes: a cell per group, and the conditions."""

    metric: str
    unit: str
    axes: tuple[str, ...]
    cells: tuple[str, ...]
    images: str
    protocol: str
    data: str
    official: bool


@dataclass(frozen=True)
class ResultTable:
    """A table with its axes, groups and rows.

    `seeds` is the number of networks behind every cell; None if it differs between cells, which
    then state it.
    """

    axes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    rows: tuple[TableRow, ...] = ()
    seeds: int | None = None

    @property
    def description(self) -> str:
        """A description of the cells."""
        if self.seeds == 1:
            return "one network per cell"
        over = "(number of seeds)" if self.seeds is None else f"over {self.seeds} seeds"
        return f"mean ± standard deviation {over}"


def evaluator_names(results: pandas.DataFrame) -> list[str]:
    """Return the evaluators of a table: those of this package first, then others by name."""
    return known_first(map(str, results["evaluator"].unique()), TITLES)


def evaluator_tables(
    comparable: Sequence[ComparableResults],
    evaluator: str,
    protocols: ProtocolIndex,
    without: Mapping[int, Collection[str]] | None = None,
) -> list[tuple[ComparableResults, ResultTable]]:
    """Return an evaluator's table of each part that has rows; `without` has metrics to omit."""
    tables = []
    for index, comparison in enumerate(comparable):
        if (comparison.results["evaluator"] == evaluator).any():
            rows = where(comparison.summary, evaluator=evaluator)
            shown = rows["metric"].isin((without or {}).get(index, ()))
            tables.append((comparison, result_table(rows[~shown], protocols)))
    return tables


def result_table(summary: pandas.DataFrame, protocols: ProtocolIndex) -> ResultTable:
    """Return the table of some rows of a summary."""
    if summary.empty:
        return ResultTable()
    groups = group_names(summary)
    axes = [str(name) for name in summary.columns if name not in SUMMARY]
    axes = [name for name in axes if summary[name].notna().any()]
    if summary["dataset"].nunique() > 1:
        axes = ["dataset", *axes]
    keys = ["metric", "unit", *axes]
    counts = {int(n) for n in summary["n"]}
    seeds = counts.pop() if len(counts) == 1 else None
    rows = [
        _table_row(dict(zip(keys, key, strict=True)), means, axes, groups, protocols, seeds)
        for key, means in _grouped(summary[[*keys, *_SHOWN]], keys).items()
    ]
    rows.sort(key=_corruption_rank(axes))
    return ResultTable(tuple(axes), tuple(groups), tuple(rows), seeds)


def _corruption_rank(axes: Sequence[str]) -> Callable[[TableRow], int]:
    rank = {display_name(name): index for index, name in enumerate(NINETEEN)}
    column = axes.index("corruption") if "corruption" in axes else None
    return lambda row: -1 if column is None else rank.get(row.axes[column], -1)


def _grouped(summary: pandas.DataFrame, keys: Sequence[str]) -> dict[Any, list[dict[str, Any]]]:
    """Group the rows of a summary by `keys`, as dictionaries; much faster than pandas' groupby."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in as_dicts(summary):
        key = tuple(None if row[name] != row[name] else row[name] for name in keys)
        groups.setdefault(key, []).append(row)
    return groups


def _table_row(
    key: Mapping[str, Any],
    means: Sequence[Mapping[str, Any]],
    axes: Sequence[str],
    groups: Sequence[str],
    protocols: ProtocolIndex,
    seeds: int | None,
) -> TableRow:
    """Return one row; a cell has several values if protocols or images differ in its group."""
    cells, entry = [], metric(str(key["metric"]), str(key["unit"]))
    for group in groups:
        texts = [_cell(entry, mean, seeds is None) for mean in means if mean["group"] == group]
        cells.append(" | ".join(texts) or "—")
    data = sorted({str(mean["data"]) for mean in means})
    keys = [str(name) for name in dict.fromkeys(mean["protocol_id"] for mean in means)]
    return TableRow(
        metric=entry.title,
        unit=entry.shown_unit,
        axes=tuple(_axis_cell(axis, key[axis]) for axis in axes),
        cells=tuple(cells),
        images=" | ".join(sorted({_format_images(mean) for mean in means})),
        protocol=" ".join(map(protocols.label, keys)),
        data=" | ".join("; ".join(by_origin(origins.split("; "))) for origins in data),
        official=not any(unofficial(origin) for origin in data)
        and not any(mean["limited"] for mean in means),
    )


def _axis_cell(axis: str, value: Any) -> str:
    """Return a coordinate of a table's rows, with conventional spellings of names."""
    return display_name(value) if axis in NAMED_AXES and value else format_setting(value)


def _cell(entry: Metric, mean: Mapping[str, Any], with_count: bool) -> str:
    """Return a mean, with the number of networks if it varies within the table."""
    summary = SeedSummary(mean["mean"], mean["std"], mean["n"])
    counted = with_count and not math.isnan(summary.std)
    return format_mean(entry, summary) + (f" ({summary.n})" if counted else "")


def _format_images(mean: Mapping[str, Any]) -> str:
    return f"{mean['images']:,}{' (subset)' if mean['limited'] else ''}"


def unofficial(data: str) -> list[str]:
    """Return the parts of "NAME: origin; …" that are not complete, verified published sets.

    Sets that are by definition generated locally (noise, patches: "made here") count as official.
    """
    return [part for part in data.split("; ") if not part.endswith((": official", ": made here"))]


def by_origin(parts: Sequence[str]) -> list[str]:
    """Join parts with the same origin: "NAME, NAME: origin", without one that the names contain.

    >>> by_origin(["svhn: user's folder", "dtd: regenerated", "isun: user's folder"])
    ["SVHN, iSUN: user's folder", 'DTD: regenerated']
    >>> by_origin(["cifar10_c_regenerated: regenerated"])
    ['CIFAR-10-C, regenerated']
    """
    names: dict[str, list[str]] = {}
    for part in parts:
        name, _, origin = part.partition(": ")
        names.setdefault(origin, []).append(display_name(name))
    return [
        ", ".join(sets) + ("" if all(origin in name for name in sets) else f": {origin}")
        for origin, sets in names.items()
    ]


def without_bins_and_severities(summary: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of a summary, except those of a single bin or severity."""
    columns = [name for name in ("bin", "severity") if name in summary]
    rows: pandas.DataFrame = summary[summary[columns].isna().all(axis=1)]
    return rows


class ProtocolIndex:
    """The protocols of a table of results, numbered P1, P2, … in the order of the page's sections.

    `evaluators` are in the order of the sections, `texts` the sentences of protocols by id.
    """

    def __init__(
        self, results: pandas.DataFrame, evaluators: Sequence[str], texts: Mapping[str, str]
    ) -> None:
        self.texts = texts
        self.metrics: dict[str, dict[str, list[str]]] = {name: {} for name in evaluators}
        columns = results[["evaluator", "protocol_id", "metric"]].drop_duplicates()
        for evaluator, key, name in columns.itertuples(index=False, name=None):
            if key in texts:
                self.metrics[str(evaluator)].setdefault(str(key), []).append(str(name))
        keys = dict.fromkeys(key for protocols in self.metrics.values() for key in protocols)
        self.labels = {key: f"P{index}" for index, key in enumerate(keys, start=1)}

    def label(self, key: str) -> str:
        """Return the label of the protocol with an id, e.g. "P3"; empty if it is unknown."""
        return self.labels.get(key, "")

    def parts(self, evaluator: str) -> dict[str, str]:
        """Return the parts that protocols share, by letter; empty if all are written out."""
        keys = self.metrics[evaluator]
        if len(keys) <= WRITTEN_OUT:
            return {}
        counts = Counter(part for key in keys for part in self.texts[key].split("; "))
        shared = [part for part, count in counts.items() if count > 1]
        return {part: _letters(index) for index, part in enumerate(shared)}

    def abbreviated(self, key: str, parts: Mapping[str, str]) -> str:
        """Return the text of a protocol with its shared parts replaced by their letters."""
        return "; ".join(parts.get(part, part) for part in self.texts[key].split("; "))

    def is_first(self, key: str, evaluator: str) -> bool:
        """Return whether an evaluator is the first on the page to use a protocol."""
        users = (name for name, protocols in self.metrics.items() if key in protocols)
        return next(users, None) == evaluator


def _letters(index: int) -> str:
    """Return a to z, then aa, ab and so on.

    >>> _letters(1), _letters(26), _letters(53)
    ('b', 'aa', 'bb')
    """
    prefix, last = divmod(index, 26)
    return (_letters(prefix - 1) if prefix else "") + chr(ord("a") + last)
