"""The values that a figure shows, read from its artists: where each lies, and its words.

So that a page can say them on hover and focus, whoever drew the figure: `marks` finds them,
`wording` makes the words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures.marks import Box, marks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Half the side of the box around a point, in points of print.
HALF = 4.0


@dataclass(frozen=True)
class Value:
    """Words, and the box that they are about, in points of print from the figure's top left."""

    text: str
    x: float
    y: float
    width: float
    height: float


def values_of(figure: Figure) -> list[Value]:
    """The values of a figure whose layout is settled, panel by panel in reading order."""
    found: dict[tuple[float, ...], list[str]] = {}
    for mark in marks_of(figure):
        box = _in_points(figure, mark.axes, *mark.box)
        place = tuple(round(float(each), 1) for each in box)
        found.setdefault(place, []).append(mark.words())
    return [Value(_joined(dict.fromkeys(texts)), *place) for place, texts in found.items()]


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
