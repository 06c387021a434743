"""The headline table: a row a group, a column a question, the better one marked by the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sdd_eval.figures.selection import group_names, where
from sdd_eval.records import DETECTOR
from sdd_eval.report.formatting import shown
from sdd_eval.report.tables.results import axes_of
from sdd_eval.report.tables.summary import WAYS, Comparison, comparisons, usable
from sdd_eval.statistics.seeds import SeedSummary, difference, summarize_seeds

if TYPE_CHECKING:
    import pandas

Mark = Literal["", "best", "tie"]


@dataclass(frozen=True)
class Column:
    """One number a network: which rows it is (`at`), how it is shown and which way is better.

    `prefer` chooses where several settings were measured; only one of them is in the table.
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
        """Which way is better."""
        return "↑" if self.higher else "↓"


_FGSM = {"variant": "authors", "gradient": "stable", "temperature": 1.0}
#: Beside the reading that flatters stands the one that the paper means.
_FGSM_MEANT = {**_FGSM, "variant": "standardised"}
_ODIN = {"detector": "odin", "outliers": "average"}
_ODIN_DEFAULT = {"temperature": 1000.0, "epsilon": 0.0028}

#: The questions, in order; an optional one has a column only where somebody measured it.
COLUMNS = (
    Column("Accuracy", "accuracy", "accuracy", True),
    Column("ECE", "calibration", "ece", False, {"temperature": None}, {"bins": 10}, percent=False),
    Column("FGSM, authors'", "fgsm", "fgsm_accuracy", True, _FGSM, {"epsilon": 0.2}),
    Column(
        "FGSM, standardised",
        "fgsm",
        "fgsm_accuracy",
        True,
        _FGSM_MEANT,
        {"epsilon": 0.2},
        optional=True,
    ),
    Column("mCA", "corruption", "mca", True, optional=True),
    Column("mCA, synthetic frost", "corruption", "mca_15_synthetic_frost", True, optional=True),
    Column("mCA, frost photos", "corruption", "mca_15_photographed_frost", True, optional=True),
    Column("mCA, unknown frost", "corruption", "mca_15_unknown_frost", True, optional=True),
    Column("ODIN AUROC", "odin", "auroc", True, _ODIN, _ODIN_DEFAULT),
    Column("ODIN FPR95", "odin", "fpr_at_95_tpr", False, _ODIN, _ODIN_DEFAULT),
    Column("mAP", "detection", "map", True, optional=True),
    Column("mAP@0.5", "detection", "map50", True, optional=True),
)


@dataclass(frozen=True)
class Cell:
    """Mean and spread over seeds, or the reason why there is none."""

    values: tuple[float, ...] = ()
    reason: str = ""
    mark: Mark = ""
    images: int = 0
    limited: bool = False
    data: str = ""
    protocol: str = ""
    fingerprint: str = ""
    intervals: tuple[tuple[float, float, float], ...] = ()
    """Low end, high end and level of each network's interval over images; NaN where it has none."""

    @property
    def spread(self) -> SeedSummary:
        """Over the seeds."""
        return summarize_seeds(self.values)


@dataclass(frozen=True)
class Row:
    """One group of checkpoints in one comparison."""

    comparison: Comparison
    group: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Headline:
    """The table: `at` of each column is complete, so it says which setting is shown."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def headline(results: pandas.DataFrame) -> Headline:
    """The headline table of a tidy table."""
    shown = results[results["metric"].isin({column.metric for column in COLUMNS})]
    kept = usable(shown)
    measured = set(zip(kept["evaluator"], kept["metric"], strict=True))
    columns = [c for c in COLUMNS if not c.optional or (c.evaluator, c.metric) in measured]
    if not any(column.evaluator == "corruption" for column in columns):
        place = next(i for i, column in enumerate(columns) if column.evaluator == "odin")
        columns.insert(place, next(column for column in COLUMNS if column.metric == "mca"))
    settled = tuple(_settled(column, kept) for column in columns)
    return Headline(settled, tuple(_rows(settled, results)))


def _settled(column: Column, kept: pandas.DataFrame) -> Column:
    """The column with a value for each axis that its rows have: the preferred, or the commonest."""
    rows = where(kept, evaluator=column.evaluator, metric=column.metric, **column.at)
    preferred = where(rows, **column.prefer)
    rows = rows if preferred.empty else preferred
    if rows.empty:
        return dataclasses.replace(column, at={**column.at, **column.prefer})
    axes = axes_of(rows)
    sizes = rows.groupby(axes, dropna=False, sort=False).size()
    common = sizes.index[int(sizes.to_numpy().argmax())]
    at = {axis: value for axis, value in zip(axes, common, strict=True) if not _missing(value)}
    return dataclasses.replace(column, at={**at, **column.at})


def _missing(value: Any) -> bool:
    return value is None or value != value


def _rows(columns: Sequence[Column], results: pandas.DataFrame) -> list[Row]:
    """All rows, marked within each comparison."""
    found = []
    for comparison in comparisons(results):
        groups = group_names(comparison.results)
        shown = comparison.results["metric"].isin({column.metric for column in columns})
        kept = usable(comparison.results[shown])
        table = [
            [_cell(column, where(kept, group=group), comparison, group) for column in columns]
            for group in groups
        ]
        marked = [mark(cells, c.higher) for c, *cells in zip(columns, *table, strict=True)]
        for group, *cells in zip(groups, *marked, strict=True):
            found.append(Row(comparison, group, tuple(cells)))
    return found


def _cell(column: Column, kept: pandas.DataFrame, comparison: Comparison, group: str) -> Cell:
    """One group's numbers for a column, or why there are none."""
    of_metric = where(kept, evaluator=column.evaluator, metric=column.metric)
    exact = {axis: column.at.get(axis) for axis in axes_of(of_metric)}
    rows = where(of_metric, **exact)
    if rows.empty:
        return Cell(reason=_reason(column, of_metric, comparison, group))
    kinds = rows.groupby(["dataset", *WAYS], sort=False).size()
    if len(kinds) > 1:
        return Cell(reason=f"measured in {len(kinds)} ways that do not mix; see its section")
    first = rows.iloc[0]
    return Cell(
        values=tuple(rows["value"]),
        images=int(first["n"]),
        limited=bool(first["limited"]),
        data=str(first["data"]),
        protocol=str(first["protocol"]),
        fingerprint=str(first["fingerprint"]),
        intervals=tuple(zip(rows["low"], rows["high"], rows["level"], strict=True)),
    )


def _reason(column: Column, of_metric: pandas.DataFrame, comparison: Comparison, group: str) -> str:
    """Why a cell is empty: left out, measured otherwise, or not measured."""
    every = where(comparison.results, group=group, evaluator=column.evaluator, metric=column.metric)
    if len(of_metric):
        return "measured only with other settings; see its section"
    if len(every):
        return f"left out: {every['note'].iloc[0]}"
    if (column.evaluator == "detection") != comparison.arch.startswith(DETECTOR):
        return f"of {'detectors' if column.evaluator == 'detection' else 'classifiers'} only"
    return f"not measured (sdd-eval {column.evaluator} CHECKPOINT)"


def mark(cells: Sequence[Cell], higher: bool) -> list[Cell]:
    """Mark the best mean where it can be told from all others, otherwise all that tie with it.

    Only cells on the same images by the same protocol are compared. Two can be told apart where
    Welch's 95 % interval of their difference over seeds excludes zero; where one side has a single
    network there is no such interval, so they tie.
    """
    known = [cell for cell in cells if cell.values]
    alike = {(c.images, c.limited, c.data, c.protocol, c.fingerprint) for c in known}
    if len(known) < 2 or len(alike) > 1:
        return list(cells)
    sign = 1 if higher else -1
    best = max(known, key=lambda cell: sign * cell.spread.mean)
    tied = [cell for cell in known if cell is best or not _apart(cell, best)]
    chosen: Mark = "best" if len(tied) == 1 else "tie"
    return [
        dataclasses.replace(cell, mark=chosen) if any(cell is each for each in tied) else cell
        for cell in cells
    ]


def _apart(cell: Cell, best: Cell) -> bool:
    """Whether seed noise does not explain the difference of two cells."""
    change = difference(cell.values, best.values)
    return not math.isnan(change.low) and change.value != 0 and change.excludes_zero


#: What the marks look like in plain text.
SIGNS: Mapping[Mark, str] = {"": " ", "best": "*", "tie": "~"}


def headline_text(*studies: Path) -> str:
    """The headline table of the runs of study folders, as lines for a terminal.

    Raises:
        InputError: there are no runs.
    """
    from sdd_eval.report.runs import collect
    from sdd_eval.report.tables.results import tidy

    return as_text(headline(tidy(collect(studies).runs)))


def as_text(table: Headline) -> str:
    """The table with aligned columns, and below it what the marks and columns mean."""
    titles = ["data set", "network", "method", "n"]
    titles += [f"{column.title} {column.arrow}" for column in table.columns]
    lines = [titles]
    for row in table.rows:
        cells = [
            f"{shown(cell.spread, column.percent)} {SIGNS[cell.mark]}" if cell.values else "—  "
            for column, cell in zip(table.columns, row.cells, strict=True)
        ]
        seeds = str(seeds_of(row))
        lines.append([row.comparison.test_set, row.comparison.arch, row.group, seeds, *cells])
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    text = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*text, *_legend(table)])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [
        cell.ljust(width) if index < 3 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def seeds_of(row: Row) -> str:
    """How many networks are behind the row's numbers: one count, or a range."""
    counts = sorted({len(cell.values) for cell in row.cells if cell.values}) or [0]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _legend(table: Headline) -> list[str]:
    """What stands below the table: marks that occur, settings of columns, subsets."""
    marks = {cell.mark for row in table.rows for cell in row.cells}
    lines = ["mean ± standard deviation over n seeds; all but ECE in %"]
    if "best" in marks:
        lines.append("* best: the 95 % interval over seeds of its lead excludes no change")
    if "tie" in marks:
        lines.append("~ best mean, or within seed noise of it (or a single network a side)")
    settings = [f"{column.title}: {where_it_holds(column)}" for column in table.columns]
    lines += [line for line in settings if not line.endswith(": ")]
    images = {cell.images for row in table.rows for cell in row.cells if cell.limited}
    if images:
        lines.append(f"limited: measured on {', '.join(map(str, sorted(images)))} images only")
    return lines


def where_it_holds(column: Column) -> str:
    """The settings that a column shows, in words."""
    words = []
    for axis, value in column.at.items():
        if value is None:  # only rows without the axis are meant
            continue
        if axis == "outliers" and value == "average":
            words.append("mean over the outlier sets")
        elif axis == "variant":
            words.append("the authors' step" if value == "authors" else f"{value} step")
        elif axis != "detector":
            words.append(f"{_AXIS.get(axis, axis)} {_number(value)}")
    return ", ".join(words)


_AXIS = {"epsilon": "ε", "temperature": "T"}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
