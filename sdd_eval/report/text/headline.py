"""The headline table as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdd_eval.comparison.store import load_comparisons
from sdd_eval.metrics.formatting import format_mean
from sdd_eval.report.runs import named_studies, read_runs
from sdd_eval.report.tables.columns import settings_label
from sdd_eval.report.tables.headline import Headline, Mark, headline
from sdd_eval.report.tables.results import tidy

#: The marks in plain text.
SIGNS: Mapping[Mark, str] = {"": " ", "best": "*", "best network": "†"}


def headline_text(*studies: Path) -> str:
    """Return the headline table of studies as text; raise InputError if there are no runs."""
    results = tidy(read_runs(studies).runs)
    stored = {name: load_comparisons(folder)[0] for name, folder in named_studies(studies)}
    return as_text(headline(results, stored))


def as_text(table: Headline) -> str:
    """Return the table with aligned columns, followed by a legend."""
    titles = ["data set", "network", "method", "n"]
    titles += [f"{column.title} {column.arrow}" for column in table.columns]
    lines = [titles]
    for row in table.rows:
        cells = [
            f"{format_mean(column.entry, cell.summary)} {SIGNS[cell.mark]}"
            if cell.values
            else "—  "
            for column, cell in zip(table.columns, row.cells, strict=True)
        ]
        names = [row.comparison.test_set, row.comparison.arch, row.group]
        lines.append([*names, row.seeds, *cells])
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    text = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*text, *_legend(table)])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if index < 3 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _legend(table: Headline) -> list[str]:
    lines = [table.units, *(f"{SIGNS[mark]} {text}" for mark, text in table.marks.items() if mark)]
    labels = [(column.title, settings_label(column)) for column in table.columns]
    lines += [f"{title}: {label}" for title, label in labels if label]
    images = {cell.images for row in table.rows for cell in row.cells if cell.limited}
    if images:
        lines.append(f"subset: measured on {', '.join(map(str, sorted(images)))} images only")
    return lines
