"""Comparisons as tables: CSV with every row, LaTeX and a terminal with those of the families."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import Compared, Row
from sdd_eval.report.tables.latex import escaped, tabular

if TYPE_CHECKING:
    import pandas

#: The columns of a comparison's CSV before the axes; `base` and `other` are numbers, means over
#: seeds where there are several.
COLUMNS = (
    *("base_checkpoints", "other_checkpoints", "evaluator", "dataset", "metric", "base", "other"),
    *("difference", "low", "high", "p", "test", "permutations", "family", "family_size"),
    *("p_adjusted", "verdict", "smallest_detectable", "low_seeds_and_images"),
    *("high_seeds_and_images", "unit", "n", "meaning", "protocol"),
)
TITLES = ("Metric", "Base", "Other", "Difference", "95 % interval", "p", "p, Holm", "verdict")
#: Over seeds also what holds for new images at once, and what could have been found.
OVER_SEEDS = (*TITLES, "new seeds and images", "detectable")


def compared_frame(found: Sequence[Compared]) -> pandas.DataFrame:
    """Every row of some comparisons, tidy: the documented columns, then the axes."""
    import pandas

    rows = [_cells(each, row) for each in found for row in each.rows]
    axes = sorted({name for row in rows for name in row} - set(COLUMNS))
    table: pandas.DataFrame = pandas.DataFrame(rows, columns=[*COLUMNS, *axes], dtype=object)
    return table


def _cells(found: Compared, row: Row) -> dict[str, Any]:
    at = {f"at_{name}" if name in COLUMNS else name: value for name, value in row.at.items()}
    plain = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    return {
        **plain,
        "base_checkpoints": " ".join(found.base),
        "other_checkpoints": " ".join(found.others),
        "family_size": row.size,
        "p_adjusted": row.adjusted,
        "smallest_detectable": row.detectable,
        "low_seeds_and_images": row.both_low,
        "high_seeds_and_images": row.both_high,
        "meaning": found.meaning,
        **at,
    }


def shown_rows(found: Compared, family: str = HEADLINE, metrics: Sequence[str] = ()) -> list[Row]:
    """The rows of a family that have a test; with `metrics`, only those named.

    What is left out here was tested and corrected with the rest: sizes and p-values stay.
    """
    rows = [row for row in found.rows if row.family == family and row.p is not None]
    return [row for row in rows if not metrics or row.metric in metrics]


def titles_of(found: Compared) -> tuple[str, ...]:
    """The titles of a comparison's table."""
    return OVER_SEEDS if len(found.base) > 1 else TITLES


def lines_of(found: Compared, rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Rows as people read them, a cell for each title."""
    return [
        (
            place_of(row),
            f"{row.base:.4f}",
            f"{row.other:.4f}",
            _signed(row.difference),
            _interval(row.low, row.high),
            p_value(row.p),
            p_value(row.adjusted),
            row.verdict,
            _interval(row.both_low, row.both_high),
            "—" if row.detectable is None else f"{row.detectable:.4f}",
        )[: len(titles_of(found))]
        for row in rows
    ]


def place_of(row: Row) -> str:
    """The metric and where it holds, in words; the evaluator where these do not say it."""
    named = row.metric.startswith(row.evaluator) or row.evaluator in (*row.at, *row.at.values())
    return ", ".join([row.metric if named else f"{row.evaluator} {row.metric}", *places_of(row)])


def places_of(row: Row) -> list[str]:
    """Where a number holds, in words, without what hardly anybody asks for."""
    hidden = ("bins", "constants", "gradient")
    return [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.at.items()
        if name not in hidden and (name, value) != ("temperature", 1.0)
    ]


def p_value(p: float | None) -> str:
    """A p-value in three digits.

    >>> p_value(0.04217), p_value(2e-7), p_value(None)
    ('0.0422', '2e-07', '—')
    """
    return "—" if p is None else f"{p:.3g}"


def _interval(low: float | None, high: float | None) -> str:
    return "—" if low is None or high is None else f"{_signed(low)} to {_signed(high)}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def title_of(found: Compared) -> str:
    """Who is compared with whom, and what the intervals are about."""
    return f"{', '.join(found.others)} less {', '.join(found.base)} ({found.meaning})"


def sizes_of(found: Compared) -> dict[str, int]:
    """The families of a comparison with how many tests each holds."""
    return {row.family: row.size for row in found.rows if row.family and row.size is not None}


def compared_tex(found: Compared, family: str = HEADLINE) -> str:
    """A family as LaTeX (booktabs)."""
    lines = [
        [escaped(cell) for cell in line] for line in lines_of(found, shown_rows(found, family))
    ]
    size = sizes_of(found).get(family, 0)
    caption = (
        f"{title_of(found)}. Fractions; p adjusted by Holm's method within the family {family} of "
        f"{size} tests; a direction is told where it is at most .05 and the interval excludes 0."
    )
    # A paper has several of these tables, and each has a label of its own.
    label = f"compared-{family}-{hashlib.sha256(title_of(found).encode()).hexdigest()[:6]}"
    return tabular([escaped(each) for each in titles_of(found)], lines, caption, label, 1)
