"""The first part of a report: every metric of a few groups, their differences and verdicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sdd_eval.metrics.formatting import (
    format_difference,
    format_interval,
    format_mean,
    format_verdict,
)
from sdd_eval.metrics.registry import Metric
from sdd_eval.report.tables.audits import audit_sentences
from sdd_eval.report.tables.columns import HeadlineColumn, settings_label
from sdd_eval.report.tables.headline import Headline, HeadlineCell, HeadlineRow
from sdd_eval.report.tables.sections import by_origin, unofficial
from sdd_eval.report.tables.summary import ComparableResults
from sdd_eval.statistics.intervals import LEVEL, normal_quantile
from sdd_eval.statistics.seeds import Difference, minimum_detectable_difference

#: Maximum number of groups, and of tables, that a page compares side by side.
MAX_GROUPS, MAX_TABLES = 4, 3
#: Scale of the plot of differences, in pixels per detectable difference, and half its width.
SCALE, HALF = 22, 84
POWER = 0.8


@dataclass(frozen=True)
class DifferenceLine:
    """The difference of the group at index `group` from its base, as text, with its verdict.

    `points` are low, value and high in units of the smallest detectable difference, positive where
    the group is better; empty if there is no interval. `reason` says why there is no verdict.
    """

    group: int
    text: str
    verdict: str
    reason: str = ""
    points: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of verdict: good, bad or none."""
        return {"better": "good", "worse": "bad"}.get(self.verdict, "none")


@dataclass(frozen=True)
class VerdictCell:
    """A cell as text: its number, the interval of a single network, and notes."""

    cell: HeadlineCell
    text: str
    interval: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerdictRow:
    """One metric: a cell per group, and a line per group that is compared with another.

    `notes` are those that all groups share, `protocol` is the one of the first measured group.
    """

    column: HeadlineColumn
    protocol: str
    notes: tuple[str, ...]
    cells: tuple[VerdictCell, ...]
    lines: tuple[DifferenceLine, ...]

    @property
    def settings(self) -> str:
        """The settings of the column, in words."""
        return settings_label(self.column)


@dataclass(frozen=True)
class VerdictTable:
    """The verdicts on some groups of the headline table, side by side or as a `leaderboard`.

    `shared` are the notes of all numbers, `of_group` those of all numbers of one group;
    `sentences` explain the numbers and verdicts and which metrics no group has, and `remarks` say
    what the audits of adversarial robustness support.
    """

    groups: tuple[HeadlineRow, ...]
    rows: tuple[VerdictRow, ...]
    shared: tuple[str, ...]
    of_group: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]
    leaderboard: bool = False

    @property
    def part(self) -> ComparableResults:
        """The part of the results to which the groups belong, if it is one."""
        return self.groups[0].comparison

    @property
    def images(self) -> int:
        """The largest number of images behind a cell."""
        return max(cell.images for row in self.groups for cell in row.cells)

    @property
    def compared(self) -> list[HeadlineRow]:
        """The groups that are compared with another group."""
        return [row for row in self.groups if row.base]

    @property
    def plotted(self) -> bool:
        """Whether a difference is plotted."""
        return not self.leaderboard and any(line.points for row in self.rows for line in row.lines)


def verdict_tables(table: Headline) -> list[VerdictTable]:
    """Return the verdict table of each part, or a leaderboard of all groups if there are many.

    A sentence appears only below the first table to which it applies.
    """
    parts = table.parts
    if len(parts) > MAX_TABLES or any(len(rows) > MAX_GROUPS for rows in parts):
        return [_verdict_table(table.columns, table.rows, leaderboard=True)]
    tables, said = [], set[str]()
    for one in (_verdict_table(table.columns, rows) for rows in parts):
        sentences = tuple(sentence for sentence in one.sentences if sentence not in said)
        tables.append(replace(one, sentences=sentences))
        said |= {*sentences}
    return tables


def _verdict_table(
    columns: Sequence[HeadlineColumn], groups: Sequence[HeadlineRow], leaderboard: bool = False
) -> VerdictTable:
    shared, of_group = _common_notes(groups)
    cells = zip(*(row.cells for row in groups), strict=True)
    rows, missing = [], dict[str, list[str]]()
    for column, of_column in zip(columns, cells, strict=True):
        if any(cell.values for cell in of_column):
            said = [(*shared, *notes) for notes in of_group]
            rows.append(_verdict_row(column, groups, of_column, said))
        elif not of_column[0].reason.endswith("only"):  # a metric of another task
            missing.setdefault(of_column[0].reason, []).append(column.title)
    remarks = tuple(_audit_remarks(groups))
    table = VerdictTable(tuple(groups), tuple(rows), shared, of_group, (), remarks, leaderboard)
    texts = [f"{' and '.join(titles)} {reason}" for reason, titles in missing.items()]
    further = [f"Further metrics: {'; '.join(texts)}."] if texts else []
    return replace(table, sentences=(*_sentences(table), *further))


def _common_notes(
    groups: Sequence[HeadlineRow],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the notes that all numbers share, and those that only all of one group's share.

    Notes of a single row or a single number stay there.
    """
    notes = [[cell_notes(cell) for cell in row.cells if cell.values] for row in groups]
    rows = sum(
        any(cell.values for cell in cells)
        for cells in zip(*(row.cells for row in groups), strict=True)
    )
    shared = _in_all([*itertools.chain(*notes)]) if rows > 1 else ()
    of_group = []
    for own in notes:
        others = {note for of in notes if of is not own for note in itertools.chain(*of)}
        common = _in_all(own) if len(own) > 1 else ()
        of_group.append(tuple(note for note in common if note not in {*shared, *others}))
    return shared, tuple(of_group)


def _in_all(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the notes that all have in common."""
    return tuple(note for note in notes[0] if all(note in own for own in notes))


def _verdict_row(
    column: HeadlineColumn,
    groups: Sequence[HeadlineRow],
    cells: Sequence[HeadlineCell],
    said: Sequence[Sequence[str]],
) -> VerdictRow:
    """Return the row of a metric, without the notes on each group that are `said` elsewhere."""
    measured = [cell for cell in cells if cell.values]
    notes = [
        [note for note in cell_notes(cell) if note not in own]
        for cell, own in zip(cells, said, strict=True)
    ]
    shared = _in_all([own for cell, own in zip(cells, notes, strict=True) if cell.values])
    of_group = {
        (id(row.comparison), row.group): cell for row, cell in zip(groups, cells, strict=True)
    }
    return VerdictRow(
        column=column,
        protocol=measured[0].protocol,
        notes=shared,
        cells=tuple(
            _verdict_cell(column.entry, cell, [note for note in own if note not in shared])
            for cell, own in zip(cells, notes, strict=True)
        ),
        lines=tuple(
            _difference_line(column.entry, index, of_group[id(row.comparison), row.base], cell)
            for index, (row, cell) in enumerate(zip(groups, cells, strict=True))
            if row.base
        ),
    )


def cell_notes(cell: HeadlineCell) -> list[str]:
    """Return caveats for quoting a number: a subset, unofficial data, runs' warnings."""
    subset = [f"subset: {cell.images:,} images"] if cell.limited else []
    return [*subset, *by_origin(unofficial(cell.data)), *filter(None, [cell.warning])]


def _verdict_cell(entry: Metric, cell: HeadlineCell, notes: Sequence[str]) -> VerdictCell:
    if not cell.values:
        return VerdictCell(cell, f"— {cell.reason}")
    low, high, level = cell.intervals[0]
    interval = ""
    if len(cell.values) == 1 and not math.isnan(low):
        of_level = f" ({100 * level:g} %)" if level != LEVEL else ""
        interval = format_interval(entry, low, high) + of_level
    return VerdictCell(cell, format_mean(entry, cell.summary, unit=True), interval, tuple(notes))


def _difference_line(
    entry: Metric, group: int, base: HeadlineCell, cell: HeadlineCell
) -> DifferenceLine:
    """Return the difference of a cell from its base in words, with the verdict and the plot."""
    if not (base.values and cell.values):
        return DifferenceLine(group, "", "not measured")
    change = cell.change
    if change is None:
        reason = "images, data or protocol differ"
        return DifferenceLine(group, "", "not compared", reason)
    text = format_difference(entry, change.value)
    if math.isnan(change.low):
        reason = "seeds do not vary" if min(len(base.values), len(cell.values)) > 1 else ""
        return DifferenceLine(group, text, "not tested", reason)
    text += f" ({format_interval(entry, change.low, change.high, sign=True)})"
    unit = detectable(change, base, cell) * (-1 if entry.better == "lower" else 1)
    ends = sorted((change.low / unit, change.high / unit)) if unit else []
    points = (ends[0], change.value / unit, ends[1]) if unit else ()
    return DifferenceLine(group, text, format_verdict(entry, change.verdict), points=points)


def detectable(change: Difference, base: HeadlineCell, other: HeadlineCell) -> float:
    """Return the smallest difference that the measurement would have detected with 80 % power.

    For several seeds it is that of Welch's test; for single networks, the interval's half-width
    times (z₁₋α/₂ + z₀.₈) / z₁₋α/₂. 0 if there is none.
    """
    if min(len(base.values), len(other.values)) > 1:
        smallest = minimum_detectable_difference(base.values, other.values)
        return 0.0 if math.isnan(smallest) else smallest
    z = normal_quantile(change.level)
    return (change.high - change.low) / 2 * (z + normal_quantile(2 * POWER - 1)) / z


def plotted(difference: float) -> int:
    """Return the position of a difference in the plot, at its edge if it is beyond.

    >>> plotted(-0.5), plotted(30.0)
    (-11, 84)
    """
    return round(min(max(SCALE * difference, -HALF), HALF))


def _sentences(table: VerdictTable) -> Iterator[str]:
    """Yield sentences that explain the numbers and verdicts of a table."""
    cells = [cell for row in table.groups for cell in row.cells]
    seeds = max((len(cell.values) for cell in cells), default=1) > 1
    if seeds:
        yield "Mean ± standard deviation over seeds."
    elif any(cell.interval for row in table.rows for cell in row.cells):
        yield "Intervals are for new images."
    changes = [cell.change for cell in cells if cell.change]
    tested = [change for change in changes if change.verdict]
    if tested:
        how = "Welch’s test over seeds" if seeds else "a paired test on the same images"
        sizes = sorted({change.family for change in tested})
        family = "a single test" if sizes == [1] else f"{' or '.join(map(str, sizes))} tests (Holm)"
        about = "" if seeds else ", about these networks and not their methods"
        yield (
            f"Better or worse{about}: p of {how}, corrected for {family}, is at most .05 and the "
            "95 % interval of the difference excludes 0."
        )
    of_groups = [[cell.change for cell in row.cells if cell.change] for row in table.groups]
    if not seeds and any(own and not any(one.verdict for one in own) for own in of_groups):
        yield "Differences between single networks are tested by sdd-eval compare."
    if table.plotted:
        yield (
            "One unit of the plot is the smallest difference that would have been detected with "
            "80 % power."
        )
    marks = {cell.mark for cell in cells if cell.mark}
    if marks:
        networks = ", † of these networks" if "best network" in marks else ""
        yield f"Bold: by the same rule better than every other group{networks}."


def _audit_remarks(groups: Sequence[HeadlineRow]) -> list[str]:
    """Return the claims that the audits of each group and its base support, if both exist."""
    pairs_of: dict[str, list[str]] = {}
    for _, part in itertools.groupby(groups, lambda row: id(row.comparison)):
        rows = list(part)
        pairs = [(row.base, row.group) for row in rows if row.base]
        sentences = audit_sentences(rows[0].comparison.results, pairs)
        for (base, other), sentence in zip(pairs, sentences, strict=True):
            pairs_of.setdefault(sentence, []).append(f"{other} against {base}")
    pairs_of.pop("", None)
    return [f"{', '.join(pairs)}: {sentence}" for sentence, pairs in pairs_of.items()]
