"""Cells, captions and notes of tables of headline numbers."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sdd_eval.metrics.formatting import MISSING, format_mean, format_number
from sdd_eval.report.latex.layout import TexCell
from sdd_eval.report.tables.columns import HeadlineColumn, settings_label
from sdd_eval.report.tables.headline import MARKS, RULE, HeadlineCell
from sdd_eval.report.tables.verdicts import cell_notes

#: Axes whose values are named by rows or headings of a table.
SHOWN = ("corruption", "severity", "outliers")
#: A number in a table: its column and its cell.
Number = tuple[HeadlineColumn, HeadlineCell]


def tex_cell(number: Number | None) -> TexCell:
    """Return mean and standard deviation over seeds; for a single network, its interval."""
    if number is None:
        return TexCell(MISSING)
    column, cell = number
    text = format_mean(column.entry, cell.summary).replace(" ± ", "±")
    low, high = (format_number(column.entry, end) for end in cell.intervals[0][:2])
    interval = "" if len(cell.values) > 1 or MISSING in (low, high) else f"[{low}, {high}]"
    sign = "†" if cell.mark == "best network" else ""
    return TexCell(text, bool(cell.mark), sign, interval=interval)


def title(column: HeadlineColumn) -> str:
    """Return the heading of a column, with an arrow towards better values."""
    return f"{column.title} {column.arrow}".strip()


def details(numbers: Sequence[Number]) -> str:
    """Return the sentence of a caption after its subject: seeds, images, units and settings.

    All numbers are measured ones.
    """
    columns = list({id(column): column for column, _ in numbers}.values())
    cells = [cell for _, cell in numbers]
    parts = [f"{_seeds(cells)} on {_images(numbers)}", _intervals(cells), in_percent(columns)]
    what = ", ".join(filter(None, parts))
    return "; ".join([what, *_settings(columns)]) + "."


def _settings(columns: Sequence[HeadlineColumn]) -> list[str]:
    """Return the settings of metrics in words; settings shared by all come without names."""
    titles: dict[str, list[str]] = {}
    for column in columns:
        at = {axis: value for axis, value in column.at.items() if axis not in SHOWN}
        settings = settings_label(dataclasses.replace(column, at=at))
        titles.setdefault(settings, []).append(column.title)
    if len(titles) == 1:
        return list(filter(None, titles))
    return [f"{', '.join(dict.fromkeys(own))}: {text}" for text, own in titles.items() if text]


def _seeds(cells: Sequence[HeadlineCell]) -> str:
    """Describe the numbers, and say over how many seeds they are."""
    seeds = sorted({len(cell.values) for cell in cells})
    if seeds[-1] == 1:
        return "one network each"
    counts = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"mean ± standard deviation over {counts} seeds"


def _intervals(cells: Sequence[HeadlineCell]) -> str:
    """Return which intervals are shown in brackets; empty if there are none."""
    single = [cell for cell in cells if len(cell.values) == 1]
    known = [one for cell in single for one in cell.intervals if not math.isnan(one[0])]
    levels = sorted({f"{100 * level:g} %" for _, _, level in known})
    whose = "" if len(single) == len(cells) else " of single networks"
    return f"{' or '.join(levels)} intervals{whose} in brackets" if levels else ""


def _images(numbers: Sequence[Number]) -> str:
    """Return the number of test images, and the metrics with a different number."""
    counts = Counter(cell.images for _, cell in numbers)
    (common, _), *others = counts.most_common()
    titles = {
        count: ", ".join(
            dict.fromkeys(column.title for column, cell in numbers if cell.images == count)
        )
        for count, _ in others
    }
    also = "; ".join(f"{names}: {count:,}" for count, names in titles.items())
    return f"{common:,} test images{also and f' ({also})'}"


def in_percent(columns: Iterable[HeadlineColumn]) -> str:
    """Return which metrics are in percent.

    >>> from sdd_eval.report.tables.columns import COLUMNS
    >>> in_percent(COLUMNS[:2]), in_percent(COLUMNS[:1]), in_percent(COLUMNS[1:2])
    ('in % but ECE', 'in %', 'ECE as a fraction')
    """
    known = {column.title: column.entry for column in columns}
    others = [name for name, entry in known.items() if not entry.percent]
    if len(others) < len(known):
        return " ".join(["in %", *(["but", " and ".join(others)] if others else [])])
    return " and ".join(f"{name} as a {known[name].unit}" for name in others)


def notes(numbers: Sequence[Number], groups: int, hidden: int = 0) -> Iterator[str]:
    """Yield the meaning of bold type, and caveats for quoting a number.

    `groups` groups are shown side by side; `hidden` groups of the study are not shown.
    """
    cells = [cell for _, cell in numbers]
    used = {cell.mark for cell in cells}
    for sign, mark in (("Bold", "best"), ("†", "best network")):
        if mark in used:
            yield f"{sign}: {MARKS[mark]}."
    if not used & {*MARKS} and groups > 1:
        tested = any(cell.change and cell.change.verdict for cell in cells)
        yield (
            f"No number is bold: none leads over every other group with {RULE}."
            if tested
            else "No number is bold: the differences were not tested."
        )
    if hidden:
        yield f"“Every other group” includes {hidden} of the study that the table does not show."
    subjects: dict[str, list[str]] = {}
    for column, cell in numbers:
        for note in cell_notes(cell):
            subjects.setdefault(note, []).append(column.title)
    everything = {column.title for column, _ in numbers}
    for note, names in subjects.items():
        of_some = "" if {*names} == everything else f"{', '.join(dict.fromkeys(names))}: "
        yield f"{of_some}{note}."
