"""The table of all points that a figure draws, to draw it anew: in pgfplots, in R, by hand."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures.marks import Box, marks_of, place_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
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


#: Half the side of the box around a point, in points of print.
HALF = 4.0


@dataclass(frozen=True)
class Tooltip:
    """Words, and the box that they are about, in points of print from the figure's top left."""

    text: str
    x: float
    y: float
    width: float
    height: float


def tooltips_of(figure: Figure) -> list[Tooltip]:
    """The values of a figure whose layout is settled, panel by panel in reading order."""
    found: dict[tuple[float, ...], list[str]] = {}
    for mark in marks_of(figure):
        box = _in_points(figure, mark.axes, *mark.box)
        place = tuple(round(float(each), 1) for each in box)
        found.setdefault(place, []).append(mark.words())
    return [Tooltip(_joined(dict.fromkeys(texts)), *place) for place, texts in found.items()]


def _joined(texts: Iterable[str]) -> str:
    """Texts about one place as one; what all of them begin with is said once."""
    parted = [text.partition(": ") for text in texts]
    first = parted[0]
    if all(head == first[0] for head, _, _ in parted):
        return "".join([*first[:2], "; ".join(value for _, _, value in parted)])
    return "; ".join("".join(each) for each in parted)


def _in_points(
    figure: Figure, axes: Axes, left: float, low: float, right: float, high: float
) -> Box:
    """A box in data coordinates, cut at the panel, in points from the figure's top left."""
    corners = axes.transData.transform([(left, low), (right, high)])
    inside = np.clip(corners, axes.bbox.min, axes.bbox.max) / figure.dpi * 72
    (x0, y0), (x1, y1) = np.sort(inside, axis=0)
    if left == right:
        x0, x1 = x0 - HALF, x1 + HALF
    if low == high:
        y0, y1 = y0 - HALF, y1 + HALF
    return x0, 72 * figure.get_figheight() - y1, x1 - x0, y1 - y0
