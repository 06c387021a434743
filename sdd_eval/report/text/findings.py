"""What was found, in sentences that claim no more than the numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.figures.selection import baselines
from sdd_eval.report.formatting import shown, signed
from sdd_eval.report.tables.comparisons import Pair, Shown, p_value, places_of, shown_rows
from sdd_eval.report.tables.headline import Cell, Column, Headline
from sdd_eval.report.tables.headline import Row as HeadlineRow
from sdd_eval.report.text.robustness import audit_sentences
from sdd_eval.statistics.seeds import (
    MIN_SEEDS,
    Difference,
    difference,
    minimum_detectable_difference,
)

#: What goes before sentences about fewer seeds than a method can be judged by.
FEW = (
    f"With fewer than {MIN_SEEDS} seeds a side what follows says nothing of the method; "
    "intervals are of the same networks on new images."
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


def pairs(table: Headline) -> list[tuple[HeadlineRow, HeadlineRow]]:
    """The rows that differ only in SD-Dropout: without it, with it."""
    found = []
    for row in table.rows:
        base = baselines(row.comparison.results).get(row.group)
        for other in table.rows:
            if other.comparison is row.comparison and other.group == base:
                found.append((other, row))
    return found


def _opening(without: HeadlineRow, with_it: HeadlineRow) -> str:
    return f"{with_it.group} against {without.group} ({with_it.comparison.title})"


def _of_pair(columns: tuple[Column, ...], without: HeadlineRow, with_it: HeadlineRow) -> list[str]:
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
    smallest = minimum_detectable_difference(base.values, other.values)
    return (
        f"{text}, which is within seed noise; a difference of {_amount(column, smallest)} could "
        "have been detected (with a chance of 80 %)."
    )


def _are_few(base: Cell, other: Cell) -> bool:
    """Whether there are too few networks on a side to speak of the method."""
    return min(len(base.values), len(other.values)) < MIN_SEEDS


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


#: Metrics as people call them.
NAMES = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "fgsm_accuracy": "accuracy under FGSM",
    "auroc": "AUROC",
    "fpr_at_95_tpr": "FPR at 95 % TPR",
    "mca": "mCA",
}


def compared_findings(found: Sequence[Shown]) -> list[Finding]:
    """The findings of each pair of comparisons that are not older than their runs."""
    return [
        Finding(_pair_opening(pair), sentences)
        for each in found
        if not each.kept.outdated
        for pair in each.pairs
        if (sentences := tuple(_pair_sentences(each, pair)))
    ]


def _pair_opening(pair: Pair) -> str:
    """Who is compared: groups over seeds, or networks by their names."""
    if len(pair.found.base) > 1:
        of = f" ({pair.of})" if pair.of else ""
        return f"{pair.other} against {pair.base}{of}, corrected for the number of tests"
    base, other = pair.found.base[0], pair.found.others[0]
    return f"The network {other} against {base}, corrected for the number of tests"


def _pair_sentences(shown: Shown, pair: Pair) -> Iterator[str]:
    """What the headline's family says, then how many cells of each metric differ."""
    rows = shown_rows(pair.found)
    told = [row for row in rows if row.verdict in ("higher", "lower")]
    size = shown.families.get(HEADLINE, 0)
    for row in told:
        yield f"{_who(pair)} {_row_difference(pair, row, size)}."
    if rows:
        yield _rest(pair, len(rows), len(told), size)
    for family, tests in shown.families.items():
        counted = list(_counted(shown_rows(pair.found, family))) if family != HEADLINE else []
        if counted:
            yield f"Cell by cell (family {family}, {tests} tests): {'; '.join(counted)}."


def _rest(pair: Pair, rows: int, told: int, size: int) -> str:
    """How many headline numbers cannot be told from chance, and what networks do not say."""
    rest = rows - told
    which = f"the other {rest}" if told else f"{rest}" if rest > 1 else "the one"
    text = (
        f"{_who(pair)} {which} headline number{'s' if rest > 1 else ''} cannot be told from chance "
    )
    every = f"That is every headline number that both sides have: {rows}, of"
    text = f"{text}(family of {size} tests)" if rest else f"{every} a family of {size} tests"
    return text + ("." if _of_a_method(pair) else "; all this says nothing of the method.")


def _of_a_method(pair: Pair) -> bool:
    return min(len(pair.found.base), len(pair.found.others)) >= MIN_SEEDS


def _who(pair: Pair) -> str:
    """Methods over seeds, or networks; these are no sentence about a method."""
    sides = len(pair.found.base), len(pair.found.others)
    if _of_a_method(pair):
        return f"Over {sides[0]} and {sides[1]} seeds"
    words = {2: "two", 3: "three", 4: "four"}
    return f"Between these {words.get(sum(sides), sum(sides))} networks"


def _row_difference(pair: Pair, row: MetricDifference, size: int) -> str:
    """One difference with the interval that its test goes with."""
    percent = row.unit == "fraction" and "ece" not in row.metric and row.metric != "mce"
    low, high = (signed(each or 0.0, percent) for each in (row.low, row.high))
    unit = " points" if percent else ""
    about = "over seeds" if len(pair.found.base) > 1 else "same networks, new images"
    return (
        f"{_called(row)} is {row.verdict} by {signed(abs(row.difference), percent)[1:]}{unit} "
        f"[95 % interval, {about}: {low} to {high}; p = {p_value(row.adjusted)} after Holm's "
        f"correction over {size} tests]"
    )


def _called(row: MetricDifference) -> str:
    """A metric in words, and where it holds."""
    name = NAMES.get(row.metric, row.metric.replace("_", " "))
    if row.metric.startswith("mca"):
        name = row.metric.replace("mca", "mCA").replace("_15_", " with ").replace("_", " ")
    places = places_of(row)
    return f"{name} ({', '.join(places)})" if places else name


def _counted(rows: Sequence[MetricDifference]) -> Iterator[str]:
    """For each metric of an evaluator, how many of its cells are higher and lower."""
    found: dict[str, list[str]] = {}
    for row in rows:
        name = NAMES.get(row.metric, row.metric.replace("_", " "))
        found.setdefault(f"{name} ({row.evaluator})", []).append(row.verdict)
    for name, verdicts in found.items():
        higher, lower = verdicts.count("higher"), verdicts.count("lower")
        told = (
            f"higher in {higher} and lower in {lower}" if higher + lower else "told apart in none"
        )
        yield f"{name} {told} of {len(verdicts)}"
