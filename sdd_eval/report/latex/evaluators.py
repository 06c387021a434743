"""The tables of each evaluator, of comparisons, and of the paper's numbers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import PairComparison
from sdd_eval.metrics.formatting import MISSING
from sdd_eval.report.latex.layout import TexCell, TexRow, TexSection, TexTable
from sdd_eval.report.latex.selection import Selection
from sdd_eval.report.tables.comparisons import (
    column_titles,
    comparison_title,
    family_rows,
    family_sizes,
    formatted_rows,
)
from sdd_eval.report.tables.paper_comparison import PaperRow
from sdd_eval.report.tables.sections import NAMED_AXES, ResultTable, TableRow

#: Minimum number of rows of a metric that are placed below its name.
ROWS = 4
_SYMBOLS = {"epsilon": "ε", "temperature": "T"}


def evaluator_table(table: ResultTable, name: str, subject: str, chosen: Selection) -> TexTable:
    """Return an evaluator's table; axes that all rows share are in the caption."""
    rows = table.rows
    shared: dict[int, str] = {}
    for index, axis in enumerate(table.axes):
        values = {row.axes[index] for row in rows}
        if axis == "bins":  # numbers without bins need no remark about it
            values -= {MISSING}
        if len(values) == 1:
            shared[index] = _coordinate(axis, values.pop())
    varying = [index for index, _ in enumerate(table.axes) if index not in shared]
    images = " or ".join(dict.fromkeys(row.images for row in rows))
    parts = [
        f"{table.description} on {images} images",
        *_units(rows),
        ", ".join(filter(None, shared.values())),
    ]
    shown = [table.groups.index(group) for group in chosen.groups_of(table.groups)]
    sections: dict[str, list[TableRow]] = {}
    for row in rows:
        sections.setdefault(row.metric, []).append(row)
    return TexTable(
        name,
        subject,
        f"{'; '.join(filter(None, parts))}.",
        "",
        tuple(table.groups[index] for index in shown),
        (*_sections(sections, table.axes, varying, shown),),
    )


def _units(rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield the unit of most metrics, then of others with their names; counts need none."""
    units: dict[str, dict[str, None]] = {}
    for row in rows:
        units.setdefault(row.unit, {})[row.metric] = None
    most = max(units, key=lambda unit: len(units[unit]))
    for unit in sorted(units, key=lambda unit: unit != most):
        names = "" if unit == most else f"{', '.join(units[unit])} "
        if unit in ("%", "nats"):
            yield f"{names}in {unit}"
        elif unit == "fraction":
            yield f"{names}as fractions"


def _sections(
    metrics: Mapping[str, Sequence[TableRow]],
    axes: Sequence[str],
    varying: Sequence[int],
    shown: Sequence[int],
) -> Iterator[TexSection]:
    """Yield the rows of each metric below its name; if they are few, each row has the name."""
    single = all(len(rows) < ROWS for rows in metrics.values())
    for metric, rows in metrics.items():
        lines = []
        for row in rows:
            at = [_coordinate(axes[index], row.axes[index]) for index in varying]
            label = ", ".join(filter(None, [*([metric] if single else []), *at]))
            cells = (TexCell(row.cells[index].replace(" ± ", "±")) for index in shown)
            lines.append(TexRow(label or metric, (*cells,)))
        yield TexSection("" if single else metric, (*lines,))


def _coordinate(axis: str, value: str) -> str:
    """Return a coordinate in words; empty if there is none.

    >>> _coordinate("bins", "10"), _coordinate("epsilon", "0.00784314"), _coordinate("k", "50")
    ('10 bins', 'ε 2/255', 'k 50')
    """
    if value == MISSING or axis in NAMED_AXES:
        return "" if value == MISSING else value
    if axis == "bins":
        return f"{value} bins"
    if axis == "epsilon" and len(value) > 6:  # a multiple of 1/255
        value = f"{255 * float(value):.4g}/255"
    return f"{_SYMBOLS.get(axis, axis)} {value}".replace("_", " ")


def paper_table(rows: Sequence[PaperRow]) -> TexTable:
    """Return the table of the paper's numbers and the measured ones."""
    sections = []
    by_data = itertools.groupby(rows, lambda row: row.cells[:2])
    for (number, data), own in by_data:
        lines = (TexRow(", ".join(row.cells[2:4]), (*map(TexCell, row.cells[4:]),)) for row in own)
        sections.append(TexSection(f"Table {number}, {data}", (*lines,)))
    titles = ("Paper", "Measured", "n", "Difference", "Verdict")
    subject, about = (
        "Numbers of the paper and measured ones",
        "mean ± standard deviation over n seeds.",
    )
    return TexTable("paper", subject, about, "", titles, (*sections,))


def comparison_table(pair: PairComparison, family: str = HEADLINE) -> TexTable:
    """Return the rows of a family of a comparison."""
    of_family = family_rows(pair, family)
    rows = formatted_rows(pair, of_family)
    title = comparison_title(pair)
    images = " or ".join(f"{count:,}" for count in sorted({row.n for row in of_family}))
    seeds = f"{len(pair.base)} against {len(pair.others)}" if len(pair.base) > 1 else "one each"
    about = (
        f"{seeds} on {images} images; differences are Other minus Base; p is Holm–Bonferroni-"
        f"adjusted within the family {family} of {family_sizes(pair).get(family, 0)} tests; a "
        "direction is given if the adjusted p is at most .05 and the interval excludes 0."
    )
    # A paper has several of these tables, and each needs its own label.
    name = f"compared-{family}-{hashlib.sha256(title.encode()).hexdigest()[:6]}"
    lines = tuple(TexRow(label, (*map(TexCell, cells),)) for label, *cells in rows)
    head, *titles = column_titles(pair)
    return TexTable(name, title, about, head, (*titles,), (TexSection("", lines),))
