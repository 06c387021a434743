"""The headline table as plain text, fitted to the terminal: metrics in rows, groups in columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sdd_eval.comparison.store import load_comparisons
from sdd_eval.metrics.formatting import MISSING, format_interval, format_mean
from sdd_eval.report.runs import named_studies, read_runs
from sdd_eval.report.tables.columns import HeadlineColumn, settings_label
from sdd_eval.report.tables.headline import Headline, HeadlineCell, HeadlineRow, Mark, headline
from sdd_eval.report.tables.results import tidy
from sdd_eval.text_table import text_table, wrapped

#: The marks in plain text.
SIGNS: Mapping[Mark, str] = {"": "", "best": " *", "best network": " †"}


def headline_text(*studies: Path, width: int | None = None) -> str:
    """Return the headline table of studies as text; raise InputError if there are no runs.

    With `width`, lines have at most that many characters, unless a name alone has more.
    """
    results = tidy(read_runs(studies).runs)
    stored = {name: load_comparisons(folder)[0] for name, folder in named_studies(studies)}
    return as_text(headline(results, stored), width)


def as_text(table: Headline, width: int | None = None) -> str:
    """Return a table for each test set and architecture, followed by a legend."""
    parts = [_part(table.columns, rows, width) for rows in table.parts]
    notes = (wrapped(line, width) for line in legend(table))
    return "\n".join(["\n\n".join(parts), *notes])


def _part(columns: Sequence[HeadlineColumn], rows: Sequence[HeadlineRow], width: int | None) -> str:
    """Return the numbers of one test set, below what they have in common.

    If a column for each group is too wide, each metric has a line for each group.
    """
    texts = metric_texts(columns, rows)
    groups = [row.group for row in rows]
    shared = wrapped(", ".join([rows[0].comparison.title, *_seeds(rows)]), width)
    table = text_table([(title, *text) for title, text in texts.items()], ("", *groups))
    if width is not None and max(map(len, table.splitlines())) > width:
        names = [f"  {group}" for group in groups]
        blocks = ([(title, ""), *zip(names, text, strict=True)] for title, text in texts.items())
        header, *lines = itertools.chain.from_iterable(blocks)
        table = text_table(lines, header, width)
    return f"{shared}\n{table}"


def metric_texts(
    columns: Sequence[HeadlineColumn], rows: Sequence[HeadlineRow]
) -> dict[str, list[str]]:
    """Return the text of each row's cells that have values, by the title of the column."""
    by_column = zip(columns, zip(*(row.cells for row in rows), strict=True), strict=True)
    return {
        f"{column.title} {column.arrow}".rstrip(): [_text(column, cell) for cell in cells]
        for column, cells in by_column
        if any(cell.values for cell in cells)
    }


def _text(column: HeadlineColumn, cell: HeadlineCell) -> str:
    """Return the mean over seeds, or the number of a single network with its interval."""
    if not cell.values:
        return MISSING
    text = format_mean(column.entry, cell.summary, unit=True)
    if len(cell.values) == 1:
        low, high, _ = cell.intervals[0]
        interval = format_interval(column.entry, low, high)
        text += "" if interval == MISSING else f" ({interval})"
    return text + SIGNS[cell.mark]


def _seeds(rows: Sequence[HeadlineRow]) -> Iterator[str]:
    """Yield the number of seeds of each group, if there are several."""
    counts = list(dict.fromkeys(row.seeds for row in rows))
    if counts != ["1"]:
        each = " each" if len(rows) > 1 and len(counts) == 1 else ""
        numbers = [row.seeds for row in rows] if len(counts) > 1 else counts
        yield f"{', '.join(numbers)} seeds{each}"


def legend(table: Headline) -> Iterator[str]:
    """Yield lines with the meaning of the table's numbers and marks, and its settings."""
    cells = [cell for row in table.rows for cell in row.cells if cell.values]
    if any(len(cell.values) > 1 for cell in cells):
        yield "Mean ± standard deviation over seeds"
    single = [cell.intervals[0] for cell in cells if len(cell.values) == 1]
    levels = sorted({level for low, _, level in single if low == low})
    if levels:
        yield f"In brackets: {' and '.join(f'{100 * level:g}' for level in levels)} % intervals"
    yield from (f"{SIGNS[mark].strip()} {text}" for mark, text in table.marks.items() if mark)
    for index, column in enumerate(table.columns):
        of_column = [row.cells[index] for row in table.rows if row.cells[index].values]
        images = sorted({f"{cell.images:,}" for cell in of_column if cell.limited})
        notes = [settings_label(column)] if settings_label(column) else []
        notes += [f"subset of {' and '.join(images)} images"] if images else []
        if of_column and notes:
            yield f"{column.title}: {', '.join(notes)}"
