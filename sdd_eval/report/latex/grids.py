"""Tables of headline numbers, including the layouts of the paper's Tables 1, 2, 5, 6 and 7."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.figures.selection import benchmark_order, where
from sdd_eval.metrics.names import display_name
from sdd_eval.report.drawing.draw import file_name
from sdd_eval.report.latex.captions import Number, details, notes, tex_cell, title
from sdd_eval.report.latex.layout import TexRow, TexSection, TexTable, short_label
from sdd_eval.report.latex.selection import Selection
from sdd_eval.report.tables.columns import HeadlineColumn
from sdd_eval.report.tables.headline import Headline, HeadlineRow, headline
from sdd_eval.report.tables.summary import ComparableResults, distinguishing_names

if TYPE_CHECKING:
    import pandas

#: The names of the tables in the paper's layouts.
PAPER_TABLES = tuple(f"table-{number}" for number in (1, 2, 5, 6, 7))
#: The metrics of the paper's Table 7, in its order.
OOD_METRICS = ("fpr_at_95_tpr", "detection_error", "auroc", "aupr_in", "aupr_out")
#: Numbers by heading of the section, label of the row, and heading of the column.
Grid = dict[str, dict[str, dict[str, Number]]]


@dataclass(frozen=True)
class PaperNumbers:
    """The headline numbers, accuracies under each corruption, and ODIN's metrics by OOD set."""

    headline: Headline
    corruption: Headline | None
    ood: Headline | None

    @property
    def columns(self) -> list[HeadlineColumn]:
        """The columns that may be named by `--columns`."""
        return [*self.headline.columns, *(self.ood.columns if self.ood else ())]


def paper_numbers(
    results: pandas.DataFrame, stored: Mapping[str, Sequence[ComparisonSet]] | None = None
) -> PaperNumbers:
    """Return all numbers of the tables; `stored` are comparisons by study."""
    table = headline(results, stored)
    corruption, ood = _corruption_columns(results), _ood_columns(table, results)
    return PaperNumbers(
        table,
        headline(results, stored, corruption) if corruption else None,
        headline(results, stored, ood) if ood else None,
    )


def _corruption_columns(results: pandas.DataFrame) -> list[HeadlineColumn]:
    """Return a column per corruption: its mean accuracy over severities."""
    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    names = benchmark_order(rows["corruption"].dropna().unique())
    return [
        HeadlineColumn(
            *("corruption", "accuracy", {"corruption": name, "severity": None}),
            heading=display_name(name),
        )
        for name in names
    ]


def _ood_columns(table: Headline, results: pandas.DataFrame) -> list[HeadlineColumn]:
    """Return a column per OOD set and metric, with the settings of the headline table."""
    at = next(
        (dict(c.at) for c in table.columns if (c.evaluator, c.metric) == ("odin", "auroc")), {}
    )
    rows = where(results, evaluator="odin", metric="auroc")
    sets = [name for name in rows["outliers"].dropna().unique() if not name.startswith("average")]
    return [
        HeadlineColumn("odin", metric, {**at, "outliers": name})
        for name in ([*sets, "average"] if sets else [])
        for metric in OOD_METRICS
    ]


def headline_tables(table: Headline, chosen: Selection) -> Iterator[TexTable]:
    """Yield a table of each part of the results: a row per group, a column per metric."""
    columns = chosen.columns(table.columns)
    for name, part, rows in _parts(table, "headline"):
        grid: Grid = {"": {row.group: _numbers(table, row, columns) for row in chosen.rows(rows)}}
        for one in _table(name, part.title, "Method", grid, rows, chosen):
            yield dataclasses.replace(one, turns=True)


def paper_tables(numbers: PaperNumbers, chosen: Selection) -> Iterator[TexTable]:
    """Yield measured numbers in the layouts of the paper's Tables 1, 2, 5, 6 and 7."""
    table = numbers.headline
    accuracy = [one for one in table.columns if one.metric == "accuracy"]
    ece = [c for c in table.columns if c.metric == "ece" and c.at.get("temperature") is None]
    yield from _by_data(table, "table-1", accuracy, chosen)
    yield from _by_data(table, "table-2", ece, chosen)
    yield from _fgsm_table(table, chosen)
    if numbers.corruption:
        yield from _corruption_tables(table, numbers.corruption, chosen)
    if numbers.ood:
        yield from _ood_tables(numbers.ood, chosen)


def _by_data(
    table: Headline, name: str, columns: Sequence[HeadlineColumn], chosen: Selection
) -> Iterator[TexTable]:
    """Yield the table of a metric: a row per group, a column per test set."""
    titles = _part_titles(table)
    rows: dict[str, dict[str, Number]] = {}
    for row in chosen.rows(table.rows):
        for number in _numbers(table, row, columns).values():
            rows.setdefault(row.group, {})[titles[id(row.comparison)]] = number
    subject = ", ".join([*(one.title for one in columns[:1]), *_common(table)])
    yield from _table(name, subject, "Method", {"": rows}, table.rows, chosen)


def _fgsm_table(table: Headline, chosen: Selection) -> Iterator[TexTable]:
    """Yield the table of FGSM: a row per variant and test set, a column per group."""
    titles = _part_titles(table)
    grid: Grid = {}
    for column in (one for one in table.columns if one.metric == "fgsm_accuracy"):
        rows = grid.setdefault(column.title, {})
        for row in chosen.rows(table.rows):
            (number,) = _numbers(table, row, [column]).values()
            rows.setdefault(titles[id(row.comparison)], {})[row.group] = number
    yield from _table(
        "table-5", ", ".join(["Accuracy", *_common(table)]), "", grid, table.rows, chosen
    )


def _corruption_tables(
    table: Headline, corruption: Headline, chosen: Selection
) -> Iterator[TexTable]:
    """Yield a table of each part: a row per corruption, then their mean, a column per group."""
    means = [one for one in table.columns if one.metric.startswith("mca")]
    parts = zip(_parts(table, "table-6"), _parts(corruption, ""), strict=True)
    for (name, part, rows), (_, _, cells) in parts:
        each: dict[str, dict[str, Number]] = {}
        for source, columns, own in ((corruption, corruption.columns, cells), (table, means, rows)):
            for row in chosen.rows(own):
                for column, number in zip(
                    columns, _numbers(source, row, columns).values(), strict=True
                ):
                    each.setdefault(column.title, {})[row.group] = number
        yield from _table(
            name,
            f"Accuracy, mean over severities, {part.title}",
            "Corruption",
            {"": each},
            rows,
            chosen,
        )


def _ood_tables(ood: Headline, chosen: Selection) -> Iterator[TexTable]:
    """Yield a table of each part: a row per OOD set and group, a column per metric."""
    sets = dict.fromkeys(str(one.at["outliers"]) for one in ood.columns)
    for name, part, rows in _parts(ood, "table-7"):
        grid: Grid = {}
        for outliers in sets:
            columns = chosen.columns([c for c in ood.columns if c.at["outliers"] == outliers])
            shown = {row.group: _numbers(ood, row, columns) for row in chosen.rows(rows)}
            grid[display_name(outliers)] = shown
        yield from _table(name, f"ODIN, {part.title}", "Method", grid, rows, chosen)


def _parts(
    table: Headline, name: str
) -> Iterator[tuple[str, ComparableResults, list[HeadlineRow]]]:
    """Yield each part with the name of its table, which has no suffix if there is only one part."""
    words = distinguishing_names([rows[0].comparison for rows in table.parts])
    for own, rows in zip(words, table.parts, strict=True):
        yield file_name(name, *own), rows[0].comparison, rows


def _part_titles(table: Headline) -> dict[int, str]:
    """Return the title of each part, without what all parts share except the test set."""
    parts = [rows[0].comparison for rows in table.parts]
    several = len({part.arch for part in parts}) > 1
    studies = len({part.study for part in parts}) > 1
    return {
        id(part): ", ".join(
            [
                *([part.study] if studies else []),
                part.title if several else display_name(part.test_set),
            ]
        )
        for part in parts
    }


def _common(table: Headline) -> list[str]:
    """Return the network of all parts, if they share one."""
    archs = {rows[0].comparison.arch for rows in table.parts}
    return [display_name(arch) for arch in archs] if len(archs) == 1 else []


def _numbers(
    table: Headline, row: HeadlineRow, columns: Sequence[HeadlineColumn]
) -> dict[str, Number]:
    """Return the numbers of a row by the headings of some columns, which are distinct."""
    cells = dict(zip(map(id, table.columns), row.cells, strict=True))
    names = [title(column) for column in columns]
    return {
        f"{name} ({column.evaluator})" if names.count(name) > 1 else name: (
            column,
            cells[id(column)],
        )
        for name, column in zip(names, columns, strict=True)
    }


def _table(
    name: str,
    subject: str,
    head: str,
    grid: Grid,
    rows: Sequence[HeadlineRow],
    chosen: Selection,
) -> Iterator[TexTable]:
    """Yield a grid as a table, without unmeasured rows and columns; nothing if empty.

    `rows` are those of all groups, including groups that are not shown.
    """
    measured = {
        section: {
            label: {heading: number for heading, number in cells.items() if number[1].values}
            for label, cells in lines.items()
        }
        for section, lines in grid.items()
    }
    found = {h for lines in measured.values() for cells in lines.values() for h in cells}
    every = (h for lines in grid.values() for cells in lines.values() for h in cells)
    headings = [heading for heading in dict.fromkeys(every) if heading in found]
    sections = tuple(
        TexSection(
            section,
            tuple(
                TexRow(
                    label,
                    tuple(tex_cell(cells.get(heading)) for heading in headings),
                    short_label(label, before),
                )
                for before, (label, cells) in zip(["", *lines], lines.items(), strict=False)
                if cells
            ),
        )
        for section, lines in measured.items()
        if any(lines.values())
    )
    numbers = [n for lines in measured.values() for cells in lines.values() for n in cells.values()]
    shown, groups = ({row.group for row in own} for own in (chosen.rows(rows), rows))
    if sections:
        below = notes(numbers, len(shown), len(groups) - len(shown))
        about = details(numbers)
        yield TexTable(name, subject, about, head, (*headings,), sections, (*below,))
