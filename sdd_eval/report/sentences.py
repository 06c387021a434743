"""What was found, in sentences that claim no more than the numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sdd_eval.figures.rows import baselines
from sdd_eval.report.headline import Cell, Column, Headline, Row
from sdd_eval.report.numbers import shown, signed
from sdd_eval.statistics.seeds import Difference, difference

#: With fewer seeds a side nothing is said of a method, only of these networks.
SEEDS = 3


@dataclass(frozen=True)
class Finding:
    """What was found of one pair: which, and a sentence a number."""

    opening: str
    sentences: tuple[str, ...]


def findings(table: Headline) -> list[Finding]:
    """The findings of each pair of with and without SD-Dropout."""
    found = []
    for without, with_it in pairs(table):
        sentences = tuple(_of_pair(table.columns, without, with_it))
        if sentences:
            found.append(Finding(_opening(without, with_it), sentences))
    return found


def pairs(table: Headline) -> list[tuple[Row, Row]]:
    """The rows that differ only in SD-Dropout: without it, with it."""
    found = []
    for row in table.rows:
        base = baselines(row.comparison.results).get(row.group)
        for other in table.rows:
            if other.comparison is row.comparison and other.group == base:
                found.append((other, row))
    return found


def _opening(without: Row, with_it: Row) -> str:
    return f"{with_it.group} against {without.group} ({with_it.comparison.title})"


def _of_pair(columns: tuple[Column, ...], without: Row, with_it: Row) -> Iterator[str]:
    """A sentence a column, where both sides were measured alike."""
    for column, base, other in zip(columns, without.cells, with_it.cells, strict=True):
        if not (base.values and other.values):
            continue
        if _alike(base) != _alike(other):
            yield (
                f"{column.title} was not measured alike on both sides "
                "(images, data or protocol differ), so nothing is said of it."
            )
            continue
        yield sentence(column, base, other)


def _alike(cell: Cell) -> tuple[object, ...]:
    return cell.images, cell.limited, cell.data, cell.protocol, cell.fingerprints


def sentence(column: Column, base: Cell, other: Cell) -> str:
    """How one number changes with SD-Dropout, and whether that could be seed noise."""
    change = difference(base.values, other.values)
    unit = " %" if column.percent else ""
    numbers = (
        f"from {shown(base.spread, column.percent)}{unit} to "
        f"{shown(other.spread, column.percent)}{unit} ({_difference(column, change)})"
    )
    seeds = min(len(base.values), len(other.values))
    if seeds < SEEDS:
        return (
            f"Between these {_networks(base, other)} networks {column.title} changes {numbers}; "
            f"with fewer than {SEEDS} seeds a side that says nothing of the method."
        )
    return (
        f"Over {seeds} seeds a side SD-Dropout changes {column.title} {numbers}: "
        f"{_verdict(column, change)}."
    )


def _networks(base: Cell, other: Cell) -> str:
    count = len(base.values) + len(other.values)
    return {2: "two", 3: "three", 4: "four"}.get(count, str(count))


def _difference(column: Column, change: Difference) -> str:
    """The change, with its interval where there is one."""
    unit = " points" if column.percent else ""
    text = f"{signed(change.value, column.percent)}{unit}"
    if math.isnan(change.low):
        return text
    low, high = signed(change.low, column.percent), signed(change.high, column.percent)
    return f"{text}; {100 * change.level:g} % interval over seeds {low} to {high}"


def _verdict(column: Column, change: Difference) -> str:
    """Better or worse only where the interval excludes zero."""
    if change.value == 0:
        return "no change"
    better = "better" if (change.value > 0) == column.higher else "worse"
    if change.excludes_zero:
        return better
    return f"{better} on average, but the interval includes no change"
