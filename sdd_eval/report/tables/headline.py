"""The headline table: one row per group, one column per metric, differences and best means."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdd_eval import plugins
from sdd_eval.comparison.run_statistics import key
from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.figures.selection import baselines, group_names, where
from sdd_eval.records import CLASSIFICATION, task_of_arch
from sdd_eval.report.tables.columns import HeadlineColumn, headline_columns
from sdd_eval.report.tables.results import axes_of
from sdd_eval.report.tables.summary import CONDITIONS, ComparableResults, comparable_results, usable
from sdd_eval.statistics.intervals import LEVEL
from sdd_eval.statistics.seeds import Difference, SeedSummary, adjust, difference, summarize_seeds

if TYPE_CHECKING:
    import pandas

#: Differences by (base, other) group.
Changes = Mapping[tuple[str, str], Difference]
#: "best" of methods, by training seeds, or "best network", by images.
Mark = Literal["", "best", "best network"]
#: When a difference is significant.
RULE = "Holm–Bonferroni-adjusted p at most .05 and an interval without 0"
#: The meanings of the marks.
MARKS: Mapping[Mark, str] = {
    "best": f"best mean; its lead over every other group is significant over seeds ({RULE})",
    "best network": "best of these networks in the study's comparisons on the same images; about "
    "these networks, not the method",
}


@dataclass(frozen=True)
class HeadlineCell:
    """The values of one group's seeds with their measurement conditions, or why there are none.

    `change` is the difference from the row's base group; None if the two are not comparable.
    """

    values: tuple[float, ...] = ()
    reason: str = ""
    mark: Mark = ""
    images: int = 0
    limited: bool = False
    data: str = ""
    protocol: str = ""
    fingerprint: str = ""
    warning: str = ""
    """Reasons why the runs' numbers may be wrong."""
    checkpoints: tuple[str, ...] = ()
    intervals: tuple[tuple[float, float, float], ...] = ()
    """Each network's interval over images as (low, high, level); NaN where there is none."""
    change: Difference | None = None

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
    """One group of checkpoints in one part of the results.

    `base` is the group with which it is compared; empty for the one with which all others are
    compared.
    """

    comparison: ComparableResults
    group: str
    cells: tuple[HeadlineCell, ...]
    base: str = ""

    @property
    def seeds(self) -> str:
        """The number of networks behind the cells: one count, or a range."""
        counts = sorted({len(cell.values) for cell in self.cells if cell.values}) or [0]
        return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


@dataclass(frozen=True)
class Headline:
    """The headline table; `at` of columns is complete."""

    columns: tuple[HeadlineColumn, ...]
    rows: tuple[HeadlineRow, ...]

    @property
    def units(self) -> str:
        """A description of the numbers and their units."""
        others = [column.title for column in self.columns if not column.entry.percent]
        unit = f"all but {' and '.join(others)} in %" if others else "in %"
        return f"Mean ± standard deviation over n seeds; {unit}"

    @property
    def parts(self) -> list[list[HeadlineRow]]:
        """The rows of each part of the results."""
        grouped = itertools.groupby(self.rows, lambda row: id(row.comparison))
        return [list(rows) for _, rows in grouped]

    @property
    def marks(self) -> dict[Mark, str]:
        """The marks of the cells with their meanings."""
        used = {cell.mark for row in self.rows for cell in row.cells}
        return {mark: meaning for mark, meaning in MARKS.items() if mark in used}


def headline(
    results: pandas.DataFrame,
    comparisons: Mapping[str, Sequence[ComparisonSet]] | None = None,
    columns: Sequence[HeadlineColumn] = (),
) -> Headline:
    """Return the headline table; `comparisons` are stored ones by study.

    With `columns`, whose axes are complete, the table has other numbers, by the same rules.
    Differences come from a stored comparison of the same networks; if there are several, from the
    one with the largest adjusted p-value. Otherwise, groups of several networks are compared by
    Welch's test over seeds, and p-values are adjusted over all tests of one part of the results.
    """
    columns, stored = tuple(columns) or headline_columns(results), comparisons or {}
    parts = comparable_results(results)
    rows = (row for part in parts for row in _part_rows(columns, part, stored.get(part.study, ())))
    return Headline(columns, tuple(rows))


def _part_rows(
    columns: Sequence[HeadlineColumn], part: ComparableResults, stored: Sequence[ComparisonSet]
) -> Iterator[HeadlineRow]:
    """Yield the rows of one part of the results, with the best means marked."""
    groups = group_names(part.results)
    current = [comparison for comparison in stored if not comparison.outdated]
    bases = _bases(part, groups, current)
    rows = usable(part.results[part.results["metric"].isin({c.metric for c in columns})])
    table = [_column_cells(column, rows, part, groups) for column in columns]
    changes = _changes(columns, table, bases, current)
    marked = [*map(_marked, columns, table, changes)]
    for group in groups:
        pair = (bases.get(group, ""), group)
        cells = (
            dataclasses.replace(cells[group], change=of_column.get(pair))
            for cells, of_column in zip(marked, changes, strict=True)
        )
        yield HeadlineRow(part, group, tuple(cells), pair[0])


def _bases(
    part: ComparableResults, groups: Sequence[str], stored: Sequence[ComparisonSet]
) -> dict[str, str]:
    """Return, for each group, the one with which it is compared.

    That is the base of a stored comparison of the two, else the group that differs only in lacking
    SD-Dropout, else the first group.
    """
    members = part.results.groupby("group", sort=False)["checkpoint"]
    group_of = {frozenset(checkpoints): str(group) for group, checkpoints in members}
    compared: dict[str, str] = {}
    for pair in (pair for comparison in stored for pair in comparison.pairs):
        base, other = (group_of.get(frozenset(side), "") for side in (pair.base, pair.others))
        if base and other and base not in compared:
            compared.setdefault(other, base)
    roots = [base for base in compared.values() if base not in compared] or groups
    default = {group: roots[0] for group in groups if group != roots[0]}
    plain = baselines(part.results).items()
    return default | {g: base for g, base in plain if g not in compared.values()} | compared


def _column_cells(
    column: HeadlineColumn,
    rows: pandas.DataFrame,
    part: ComparableResults,
    groups: Sequence[str],
) -> dict[str, HeadlineCell]:
    """Return the cell of each group in a column."""
    of_metric = where(rows, evaluator=column.evaluator, metric=column.metric)
    chosen = where(of_metric, **{axis: column.at.get(axis) for axis in axes_of(of_metric)})
    by_group = dict(list(chosen.groupby("group", sort=False)))
    return {
        group: _cell(by_group[group])
        if group in by_group
        else HeadlineCell(reason=_reason(column, where(of_metric, group=group), part, group))
        for group in groups
    }


def _cell(rows: pandas.DataFrame) -> HeadlineCell:
    """Return the cell of some rows, one for each network of a group."""
    conditions = set(zip(*(rows[name].tolist() for name in ("dataset", *CONDITIONS)), strict=True))
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
        warning="; ".join(filter(None, rows["warning"].unique())),
        checkpoints=tuple(rows["checkpoint"]),
        intervals=tuple(zip(rows["low"], rows["high"], rows["level"], strict=True)),
    )


def _reason(
    column: HeadlineColumn, of_metric: pandas.DataFrame, part: ComparableResults, group: str
) -> str:
    """Return why a cell is empty: excluded, measured with other settings, or not measured."""
    rows = where(part.results, group=group, evaluator=column.evaluator, metric=column.metric)
    if len(of_metric):
        return "measured only with other settings; see its section"
    if len(rows):
        return f"excluded: {rows['note'].iloc[0]}"
    task = task_of(plugins.load("evaluators", column.evaluator))
    if task != task_of_arch(part.arch):
        return f"for {'classifiers' if task == CLASSIFICATION else 'detectors'} only"
    return f"not measured (sdd-eval {column.evaluator} CHECKPOINT)"


def _changes(
    columns: Sequence[HeadlineColumn],
    table: Sequence[Mapping[str, HeadlineCell]],
    bases: Mapping[str, str],
    stored: Sequence[ComparisonSet],
) -> Sequence[Changes]:
    """Return the differences of each column, for each pair in both directions.

    They are the differences of each group from its base and from the group with the best mean,
    where both were measured under the same conditions.
    """
    changes: list[dict[tuple[str, str], Difference]] = []
    for column, cells in zip(columns, table, strict=True):
        best, known = _best_group(column, cells), [g for g, cell in cells.items() if cell.values]
        pairs = [(bases[group], group) for group in known if bases.get(group) in known]
        pairs += [(group, best) for group in known if best and group != best]
        distinct = {frozenset(pair): pair for pair in reversed(pairs)}.values()
        changes.append(
            {
                (one, two): _stored_difference(column, cells[one], cells[two], stored)
                or difference(cells[one].values, cells[two].values)
                for one, two in distinct
                if cells[one].conditions == cells[two].conditions
            }
        )
    adjusted = iter(adjust([change for of_column in changes for change in of_column.values()]))
    for of_column in changes:
        for pair, change in list(of_column.items()):
            own = next(adjusted)
            of_column[pair] = own if math.isnan(change.adjusted) else change
            of_column[pair[::-1]] = of_column[pair].reversed
    return changes


def _stored_difference(
    column: HeadlineColumn, base: HeadlineCell, other: HeadlineCell, stored: Sequence[ComparisonSet]
) -> Difference | None:
    """Return the difference of two cells in the stored comparison with the largest adjusted p."""
    at = {axis: value for axis, value in column.at.items() if value is not None}
    number = (column.evaluator, key(column.metric, at))
    sides = [set(cell.checkpoints) for cell in (base, other)]
    differences = []
    for pair in (pair for comparison in stored for pair in comparison.pairs):
        compared = [set(pair.base), set(pair.others)]
        for row in pair.rows if compared in (sides, sides[::-1]) else ():
            if (row.evaluator, key(row.metric, row.at)) == number and row.adjusted is not None:
                low, high = (math.nan if end is None else end for end in (row.low, row.high))
                p, size = row.p or 0.0, row.size or 0
                one = Difference(row.difference, low, high, LEVEL, p, row.adjusted, size)
                differences.append(one if compared == sides else one.reversed)
    return max(differences, key=lambda one: one.adjusted, default=None)


def _best_group(column: HeadlineColumn, cells: Mapping[str, HeadlineCell]) -> str:
    """Return the group with the best mean; empty if conditions differ or none is better."""
    known = {group: cell for group, cell in cells.items() if cell.values}
    better = column.entry.better
    if len(known) < 2 or len({cell.conditions for cell in known.values()}) > 1 or not better:
        return ""
    sign = 1 if better == "higher" else -1
    return max(known, key=lambda group: sign * known[group].summary.mean)


def _marked(
    column: HeadlineColumn, cells: Mapping[str, HeadlineCell], changes: Changes
) -> dict[str, HeadlineCell]:
    """Mark the best mean if its lead over every other group is significant.

    The mark of a single network refers to the network, not to its method.
    """
    best = _best_group(column, cells)
    known = {group: cell for group, cell in cells.items() if cell.values}
    verdicts = {changes[group, best].verdict for group in known if best and group != best}
    if verdicts != {column.entry.better}:
        return dict(cells)
    several = min(len(cell.values) for cell in known.values()) > 1
    chosen: Mark = "best" if several else "best network"
    return {**cells, best: dataclasses.replace(cells[best], mark=chosen)}
