"""The headline table: one row per group, one column per metric, the best means marked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sdd_eval.figures.selection import group_names, where
from sdd_eval.records import DETECTOR
from sdd_eval.report.formatting import format_mean
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.results import axes_of, tidy
from sdd_eval.report.tables.summary import (
    CONDITIONS,
    ComparableResults,
    comparable_results,
    usable,
)
from sdd_eval.statistics.seeds import SeedSummary, difference, summarize_seeds

if TYPE_CHECKING:
    import pandas

Mark = Literal["", "best", "tie"]


@dataclass(frozen=True)
class HeadlineColumn:
    """One metric: the axes that select its rows (`at`), its format and its direction.

    `prefer` selects one of several measured settings; the table shows only that one. An optional
    column is shown only if it was measured.
    """

    title: str
    evaluator: str
    metric: str
    higher: bool
    at: Mapping[str, Any] = field(default_factory=dict)
    prefer: Mapping[str, Any] = field(default_factory=dict)
    percent: bool = True
    optional: bool = False

    @property
    def arrow(self) -> str:
        """The direction of better values."""
        return "↑" if self.higher else "↓"


_FGSM = {"variant": "authors", "gradient": "stable", "temperature": 1.0}
#: The variant that the paper describes; the authors' one gives higher accuracies.
_STANDARDISED = {**_FGSM, "variant": "standardised"}
_ODIN = {"detector": "odin", "outliers": "average"}
_ODIN_DEFAULT = {"temperature": 1000.0, "epsilon": 0.0028}

#: All columns, in order.
COLUMNS = (
    HeadlineColumn("Accuracy", "accuracy", "accuracy", True),
    HeadlineColumn(
        "ECE", "calibration", "ece", False, {"temperature": None}, {"bins": 10}, percent=False
    ),
    HeadlineColumn("FGSM, authors'", "fgsm", "fgsm_accuracy", True, _FGSM, {"epsilon": 0.2}),
    HeadlineColumn(
        *("FGSM, standardised", "fgsm", "fgsm_accuracy", True, _STANDARDISED, {"epsilon": 0.2}),
        optional=True,
    ),
    HeadlineColumn("mCA", "corruption", "mca", True, optional=True),
    *(
        HeadlineColumn(f"mCA, {title}", "corruption", f"mca_15_{metric}", True, optional=True)
        for title, metric in (
            ("synthetic frost", "synthetic_frost"),
            ("frost photos", "photographed_frost"),
            ("unknown frost", "unknown_frost"),
        )
    ),
    HeadlineColumn("ODIN AUROC", "odin", "auroc", True, _ODIN, _ODIN_DEFAULT),
    HeadlineColumn("ODIN FPR95", "odin", "fpr_at_95_tpr", False, _ODIN, _ODIN_DEFAULT),
    HeadlineColumn("mAP", "detection", "map", True, optional=True),
    HeadlineColumn("mAP@0.5", "detection", "map50", True, optional=True),
)


@dataclass(frozen=True)
class HeadlineCell:
    """The values of one group's seeds with their measurement conditions, or why there are none."""

    values: tuple[float, ...] = ()
    reason: str = ""
    mark: Mark = ""
    images: int = 0
    limited: bool = False
    data: str = ""
    protocol: str = ""
    fingerprint: str = ""
    intervals: tuple[tuple[float, float, float], ...] = ()
    """Each network's interval over images as (low, high, level); NaN where there is none."""

    @property
    def conditions(self) -> tuple[object, ...]:
        """The measurement conditions, which must agree for a comparison."""
        return self.images, self.limited, self.data, self.protocol, self.fingerprint

    @property
    def summary(self) -> SeedSummary:
        """Mean and standard deviation over the seeds."""
        return summarize_seeds(self.values)


@dataclass(frozen=True)
class HeadlineRow:
    """One group of checkpoints in one part of the results."""

    comparison: ComparableResults
    group: str
    cells: tuple[HeadlineCell, ...]


@dataclass(frozen=True)
class Headline:
    """The headline table; `at` of each column is complete and says which setting it shows."""

    columns: tuple[HeadlineColumn, ...]
    rows: tuple[HeadlineRow, ...]


def headline(results: pandas.DataFrame) -> Headline:
    """Return the headline table of a table of results."""
    shown = results[results["metric"].isin({column.metric for column in COLUMNS})]
    rows = usable(shown)
    measured = set(zip(rows["evaluator"], rows["metric"], strict=True))
    columns = [c for c in COLUMNS if not c.optional or (c.evaluator, c.metric) in measured]
    if not any(column.evaluator == "corruption" for column in columns):
        index = next(i for i, column in enumerate(columns) if column.evaluator == "odin")
        columns.insert(index, next(column for column in COLUMNS if column.metric == "mca"))
    resolved = tuple(_resolved(column, rows) for column in columns)
    return Headline(resolved, tuple(_headline_rows(resolved, results)))


def _resolved(column: HeadlineColumn, rows: pandas.DataFrame) -> HeadlineColumn:
    """Set all axes of a column, to the preferred values or else to the most common ones."""
    rows = where(rows, evaluator=column.evaluator, metric=column.metric, **column.at)
    preferred = where(rows, **column.prefer)
    rows = rows if preferred.empty else preferred
    if rows.empty:
        return dataclasses.replace(column, at={**column.at, **column.prefer})
    axes = axes_of(rows)
    sizes = rows.groupby(axes, dropna=False, sort=False).size()
    common = sizes.index[int(sizes.to_numpy().argmax())]
    at = {
        axis: value
        for axis, value in zip(axes, common, strict=True)
        if value is not None and value == value
    }
    return dataclasses.replace(column, at={**at, **column.at})


def _headline_rows(
    columns: Sequence[HeadlineColumn], results: pandas.DataFrame
) -> Iterator[HeadlineRow]:
    """Yield all rows, with the best means of each part of the results marked."""
    for comparison in comparable_results(results):
        groups = group_names(comparison.results)
        shown = comparison.results["metric"].isin({column.metric for column in columns})
        rows = usable(comparison.results[shown])
        cells = [
            [_cell(column, where(rows, group=group), comparison, group) for column in columns]
            for group in groups
        ]
        marked = [mark(own, column.higher) for column, *own in zip(columns, *cells, strict=True)]
        for group, *own in zip(groups, *marked, strict=True):
            yield HeadlineRow(comparison, group, tuple(own))


def _cell(
    column: HeadlineColumn, rows: pandas.DataFrame, comparison: ComparableResults, group: str
) -> HeadlineCell:
    of_metric = where(rows, evaluator=column.evaluator, metric=column.metric)
    at = {axis: column.at.get(axis) for axis in axes_of(of_metric)}
    rows = where(of_metric, **at)
    if rows.empty:
        return HeadlineCell(reason=_reason(column, of_metric, comparison, group))
    conditions = rows.groupby(["dataset", *CONDITIONS], sort=False).size()
    if len(conditions) > 1:
        return HeadlineCell(
            reason=f"measured under {len(conditions)} different conditions; see its section"
        )
    first = rows.iloc[0]
    return HeadlineCell(
        values=tuple(rows["value"]),
        images=int(first["n"]),
        limited=bool(first["limited"]),
        data=str(first["data"]),
        protocol=str(first["protocol_id"]),
        fingerprint=str(first["fingerprint"]),
        intervals=tuple(zip(rows["low"], rows["high"], rows["level"], strict=True)),
    )


def _reason(
    column: HeadlineColumn,
    of_metric: pandas.DataFrame,
    comparison: ComparableResults,
    group: str,
) -> str:
    """Return why a cell is empty: excluded, measured with other settings, or not measured."""
    rows = where(comparison.results, group=group, evaluator=column.evaluator, metric=column.metric)
    if len(of_metric):
        return "measured only with other settings; see its section"
    if len(rows):
        return f"excluded: {rows['note'].iloc[0]}"
    if (column.evaluator == "detection") != comparison.arch.startswith(DETECTOR):
        return f"for {'detectors' if column.evaluator == 'detection' else 'classifiers'} only"
    return f"not measured (sdd-eval {column.evaluator} CHECKPOINT)"


def mark(cells: Sequence[HeadlineCell], higher: bool) -> list[HeadlineCell]:
    """Mark the best mean if it differs from all others, otherwise all means that tie with it.

    Only cells measured on the same images under the same protocol are compared. Two means differ if
    Welch's 95 % interval of their difference over seeds excludes zero; if a side has a single
    network there is no such interval, so they tie.
    """
    known = [cell for cell in cells if cell.values]
    if len(known) < 2 or len({cell.conditions for cell in known}) > 1:
        return list(cells)
    sign = 1 if higher else -1
    best = max(known, key=lambda cell: sign * cell.summary.mean)
    tied = [cell for cell in known if cell is best or not _differs(cell, best)]
    chosen: Mark = "best" if len(tied) == 1 else "tie"
    return [
        dataclasses.replace(cell, mark=chosen) if any(cell is other for other in tied) else cell
        for cell in cells
    ]


def _differs(cell: HeadlineCell, best: HeadlineCell) -> bool:
    change = difference(cell.values, best.values)
    return not math.isnan(change.low) and change.value != 0 and change.excludes_zero


#: The marks in plain text.
SIGNS: Mapping[Mark, str] = {"": " ", "best": "*", "tie": "~"}


def headline_text(*studies: Path) -> str:
    """Return the headline table of studies as text; raise InputError if there are no runs."""
    return as_text(headline(tidy(read_runs(studies).runs)))


def as_text(table: Headline) -> str:
    """Return the table with aligned columns, followed by a legend."""
    titles = ["data set", "network", "method", "n"]
    titles += [f"{column.title} {column.arrow}" for column in table.columns]
    lines = [titles]
    for row in table.rows:
        cells = [
            f"{format_mean(cell.summary, column.percent)} {SIGNS[cell.mark]}"
            if cell.values
            else "—  "
            for column, cell in zip(table.columns, row.cells, strict=True)
        ]
        names = [row.comparison.test_set, row.comparison.arch, row.group]
        lines.append([*names, seed_count(row), *cells])
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    text = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*text, *_legend(table)])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if index < 3 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def seed_count(row: HeadlineRow) -> str:
    """Return the number of networks behind the row's cells: one count, or a range."""
    counts = sorted({len(cell.values) for cell in row.cells if cell.values}) or [0]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _legend(table: Headline) -> list[str]:
    marks = {cell.mark for row in table.rows for cell in row.cells}
    lines = ["mean ± standard deviation over n seeds; all but ECE in %"]
    if "best" in marks:
        lines.append("* best mean; the 95 % interval over seeds of its lead excludes zero")
    if "tie" in marks:
        lines.append("~ best mean, or within seed noise of it (or only one network on a side)")
    labels = [(column.title, settings_label(column)) for column in table.columns]
    lines += [f"{title}: {label}" for title, label in labels if label]
    images = {cell.images for row in table.rows for cell in row.cells if cell.limited}
    if images:
        lines.append(f"subset: measured on {', '.join(map(str, sorted(images)))} images only")
    return lines


def settings_label(column: HeadlineColumn) -> str:
    """Return the settings that a column shows, in words."""
    labels = []
    for axis, value in column.at.items():
        if value is None:  # rows without this axis
            continue
        if axis == "outliers" and value == "average":
            labels.append("mean over the OOD sets")
        elif axis == "variant":
            labels.append("the authors' variant" if value == "authors" else f"{value} variant")
        elif axis != "detector":
            labels.append(f"{_SYMBOLS.get(axis, axis)} {_format_value(value)}")
    return ", ".join(labels)


_SYMBOLS = {"epsilon": "ε", "temperature": "T"}


def _format_value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
