"""The numbers of a drawn figure: as a table of points, and as tooltips with their positions."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures.marks import Box, marks_of, panel_name, x_value

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("panel", "series", "x", "x_end", "y", "low", "high", "words")
#: Half the side of the box around a point, in points of print.
HALF = 4.0


def points_of(figure: Figure) -> pandas.DataFrame:
    """Return all points, bars, cells and bins of a figure, to redraw it with another tool.

    The figure's layout must be done. `x` is the name of its tick or a number in the axis's unit,
    and a bin reaches to `x_end`; `low` and `high` are the ends of an error bar along y. `words` is
    the text of a mark that has its own, such as one with an interval along x. Numbers have six
    digits.
    """
    import pandas

    x_of = functools.cache(x_value)  # many series share an x, and ticks are slow to read
    rows = [
        (
            panel_name(mark.axes),
            mark.series,
            *map(_rounded, (x_of(mark.axes, mark.x), mark.x_end, mark.y, *mark.error_bar)),
            mark.text() if mark.own_text else None,
        )
        for mark in marks_of(figure, every=True)
    ]
    table: pandas.DataFrame = pandas.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return table


def _rounded(value: Any) -> Any:
    """Return a number rounded to six digits, and anything else unchanged."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Tooltip:
    """A text and the box that it describes, in points from the figure's top left corner."""

    text: str
    x: float
    y: float
    width: float
    height: float


def tooltips_of(figure: Figure) -> list[Tooltip]:
    """Return the tooltips of a figure whose layout is done, panel by panel in reading order."""
    texts: dict[tuple[float, ...], list[str]] = {}
    for mark in marks_of(figure):
        box = _page_box(figure, mark.axes, *mark.box)
        key = tuple(round(float(edge), 1) for edge in box)
        texts.setdefault(key, []).append(mark.text())
    return [Tooltip(_joined(dict.fromkeys(lines)), *box) for box, lines in texts.items()]


def _joined(texts: Iterable[str]) -> str:
    """Join texts about one box, with a shared beginning only once."""
    parts = [text.partition(": ") for text in texts]
    first = parts[0]
    if all(head == first[0] for head, _, _ in parts):
        return "".join([*first[:2], "; ".join(value for _, _, value in parts)])
    return "; ".join("".join(part) for part in parts)


def _page_box(
    figure: Figure, axes: Axes, left: float, low: float, right: float, high: float
) -> Box:
    """Convert a box from data coordinates, clipped to the panel, to (x, y, width, height)."""
    corners = axes.transData.transform([(left, low), (right, high)])
    inside = np.clip(corners, axes.bbox.min, axes.bbox.max) / figure.dpi * 72
    (x0, y0), (x1, y1) = np.sort(inside, axis=0)
    if left == right:
        x0, x1 = x0 - HALF, x1 + HALF
    if low == high:
        y0, y1 = y0 - HALF, y1 + HALF
    return x0, 72 * figure.get_figheight() - y1, x1 - x0, y1 - y0
