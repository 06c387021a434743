"""What was found, in sentences that claim no more than the numbers carry."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdd_eval.figures.rows import baselines
from sdd_eval.report.formatting import shown, signed
from sdd_eval.report.tables.headline import Cell, Column, Headline, Row
from sdd_eval.report.text.audits import audit_sentences
from sdd_eval.statistics.seeds import SEEDS, Difference, difference, smallest_detectable

#: What goes before sentences about fewer seeds than a method can be judged by.
FEW = (
    f"With fewer than {SEEDS} seeds a side what follows says nothing of the method; intervals are "
    "of the same networks on new images."
)


@dataclass(frozen=True)
class Finding:
    """What was found of one pair: which, and a sentence a number."""

    opening: str
    sentences: tuple[str, ...]


def findings(table: Headline) -> list[Finding]:
    """The findings of each pair of with and without SD-Dropout."""
    found = []
    for without, with_it in pairs(table):
        sentences = (
            *_of_pair(table.columns, without, with_it),
            *audit_sentences(with_it.comparison.results, without.group, with_it.group),
        )
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


def _of_pair(columns: tuple[Column, ...], without: Row, with_it: Row) -> list[str]:
    """A sentence a column, where both sides were measured alike; of few networks at the end."""
    found: list[str] = []
    few: list[str] = []
    for column, base, other in zip(columns, without.cells, with_it.cells, strict=True):
        if not (base.values and other.values):
            continue
        if _alike(base) != _alike(other):
            found.append(
                f"{column.title} was not measured alike on both sides "
                "(images, data or protocol differ), so nothing is said of it."
            )
            continue
        (few if _are_few(base, other) else found).append(sentence(column, base, other))
    return found + ([FEW, *few] if few else [])


def _alike(cell: Cell) -> tuple[object, ...]:
    return cell.images, cell.limited, cell.data, cell.protocol, cell.fingerprint


def sentence(column: Column, base: Cell, other: Cell) -> str:
    """How one number changes with SD-Dropout, and whether that could be seed noise."""
    if _are_few(base, other):
        return _of_networks(column, base, other)
    change = difference(base.values, other.values)
    unit = " %" if column.percent else ""
    text = (
        f"Over {_seeds(base, other)} SD-Dropout changes {column.title} from "
        f"{shown(base.spread, column.percent)}{unit} to "
        f"{shown(other.spread, column.percent)}{unit}"
    )
    if math.isnan(change.low):
        return f"{text}: seeds of a side do not differ, so nothing says how far new ones would."
    text += f", by {_difference(column, change)}"
    if change.value == 0:
        return f"{text}: no change."
    if change.excludes_zero:
        return f"{text}: {_direction(column, change)}."
    smallest = smallest_detectable(base.values, other.values)
    return (
        f"{text}, which is within seed noise; a difference of {_amount(column, smallest)} could "
        "have been detected (with a chance of 80 %)."
    )


def _are_few(base: Cell, other: Cell) -> bool:
    """Whether there are too few networks on a side to speak of the method."""
    return min(len(base.values), len(other.values)) < SEEDS


def _seeds(base: Cell, other: Cell) -> str:
    """How many seeds are behind a sentence."""
    counts = len(base.values), len(other.values)
    if counts[0] == counts[1]:
        return f"{counts[0]} seeds a side"
    return f"{counts[0]} seeds without and {counts[1]} with it"


def _difference(column: Column, change: Difference) -> str:
    """The change and its interval."""
    low, high = signed(change.low, column.percent), signed(change.high, column.percent)
    unit = " points" if column.percent else ""
    level = f"{100 * change.level:g} % interval over seeds"
    return f"{signed(change.value, column.percent)}{unit} [{level} {low} to {high}]"


def _amount(column: Column, value: float) -> str:
    return signed(value, column.percent)[1:] + (" points" if column.percent else "")


def _direction(column: Column, change: Difference) -> str:
    return "better" if (change.value > 0) == column.higher else "worse"


def _of_networks(column: Column, base: Cell, other: Cell) -> str:
    """The numbers of single networks: nothing is said of the method."""
    unit = " %" if column.percent else ""
    count = len(base.values) + len(other.values)
    words = {2: "two", 3: "three", 4: "four"}.get(count, str(count))
    sides = " and ".join(
        f"{shown(cell.spread, column.percent)}{unit}{_images(column, cell)} {which}"
        for cell, which in ((base, "without"), (other, "with"))
    )
    return f"Between these {words} networks: {column.title} is {sides} SD-Dropout."


def _images(column: Column, cell: Cell) -> str:
    """The interval of a single network's number over images; `FEW` says what it is."""
    if len(cell.values) != 1 or math.isnan(cell.intervals[0][0]):
        return ""
    factor, digits = (100, 1) if column.percent else (1, 3)
    *ends, level = cell.intervals[0]
    low, high = (f"{factor * end:.{digits}f}" for end in ends)
    return f" [{100 * level:g} %: {low} to {high}]"
