"""The table of all points that a figure draws, to draw it anew: in pgfplots, in R, by hand."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.marks import marks_of
from sdd_eval.figures.wording import place_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

COLUMNS = ("panel", "series", "x", "x_end", "y", "low", "high", "words")


def points_of(figure: Figure) -> pandas.DataFrame:
    """Every point, bar, cell and step of a figure whose layout is settled, one a row.

    `x` is the name of the tick where it has one, else a number in the axis's unit; `x_end` is where
    a step of a histogram ends that begins at `x`; `low` and `high` are the ends of an error
    bar along y. What a figure tells in `words` of its own (intervals along x among them) stands
    there. Numbers have six digits.
    """
    import pandas

    place = functools.cache(place_of)  # the same of each series; ticks are slow to ask
    rows = [
        (
            mark.panel,
            mark.series,
            *map(_short, (place(mark.axes, mark.x), mark.x_end, mark.y, *mark.bar)),
            mark.words() if mark.own else None,
        )
        for mark in marks_of(figure, every=True)
    ]
    found: pandas.DataFrame = pandas.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return found


def _short(value: Any) -> Any:
    """A number with six digits; all else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
