"""The values that a figure shows, read from its artists: where each lies, and its words.

So that a page can say them on hover and focus, whoever drew the figure: bars, points, lines, cells
and steps. The words are made of the artist's label, the axes' title, tick labels and matplotlib's
own `fmt_xdata` and `fmt_ydata`; a bar that has a label of its own is told by it alone, a point
whose line has a `format_cursor_data` of its own by that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Of a line without markers so many points are told, and where a panel has more than `MANY` lines.
POINTS, FEWER, MANY = 11, 6, 6
#: Of a histogram of more steps than these, two at once are told.
STEPS = 20
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


def tell(artist: Any, words: Callable[[Any], str]) -> None:
    """Let an artist say its value in words of its own, here and under matplotlib's cursor."""
    artist.format_cursor_data = words


def values_of(figure: Figure) -> list[Value]:
    """The values of a figure whose layout is settled, panel by panel in reading order."""
    found: dict[tuple[float, ...], list[str]] = {}
    for axes in figure.axes:
        if axes.axison:
            for text, box in _told(axes):
                place = tuple(round(float(each), 1) for each in _in_points(figure, axes, *box))
                found.setdefault(place, []).append(text)
    return [Value(_joined(dict.fromkeys(texts)), *place) for place, texts in found.items()]


def _joined(texts: Iterable[str]) -> str:
    """Texts about one place as one; what all of them begin with is said once."""
    parted = [text.partition(": ") for text in texts]
    first = parted[0]
    if all(head == first[0] for head, _, _ in parted):
        return "".join([*first[:2], "; ".join(value for _, _, value in parted)])
    return "; ".join("".join(each) for each in parted)


Box = tuple[float, float, float, float]


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


def _told(axes: Axes) -> Iterator[tuple[str, Box]]:
    """The words and boxes of a panel, in data coordinates."""
    from matplotlib.collections import QuadMesh
    from matplotlib.patches import StepPatch

    names, spread = _errorbars(axes)
    for container in axes.containers:
        if hasattr(container, "patches"):
            yield from _bars(axes, container, spread)
    for line in axes.lines:
        yield from _line(axes, line, names.get(id(line), str(line.get_label())), spread)
    for patch in axes.patches:
        yield from _steps(axes, patch) if isinstance(patch, StepPatch) else ()
    for mesh in axes.collections:
        yield from _cells(axes, mesh) if isinstance(mesh, QuadMesh) else ()


def _line(axes: Axes, line: Any, series: str, spread: Spread) -> Iterator[tuple[str, Box]]:
    """What a line tells: by itself, by its points, or nothing where it has no label."""
    if "format_cursor_data" in vars(line):
        for index, (x, y) in enumerate(line.get_xydata().tolist()):
            yield line.format_cursor_data(index).replace(r"\$", "$"), (x, y, x, y)
    elif not series.startswith("_"):
        yield from _points(axes, line, series, spread)


Spread = dict[tuple[float, float], float]


def _errorbars(axes: Axes) -> tuple[dict[int, str], Spread]:
    """The label of each line that has error bars; half the length of the bar about each point."""
    names: dict[int, str] = {}
    spread: Spread = {}
    for container in axes.containers:
        if len(getattr(container, "lines", ())) != 3:
            continue
        line, _, bars = container.lines  # type: ignore[attr-defined]
        names[id(line)] = str(container.get_label())
        for segment in (each for bar in bars for each in bar.get_segments() if len(each)):
            (x, low), (_, high) = segment[0], segment[-1]
            if high > low:
                spread[_key(x, (low + high) / 2)] = float(high - low) / 2
    return names, spread


def _key(x: float, y: float) -> tuple[float, float]:
    return round(float(x), 9), round(float(y), 9)


def _words(axes: Axes, series: str, place: str, value: str) -> str:
    """Panel, series, place and number; a panel is called as its label says, or its title."""
    heads = (" ".join(str(axes.get_label() or axes.get_title()).split()), series, place)
    return f"{', '.join(each for each in heads if each)}: {value}".replace(r"\$", "$")


def _bars(axes: Axes, container: Any, spread: Spread) -> Iterator[tuple[str, Box]]:
    """The bars of a container; one with a label of its own is told by it."""
    series = str(container.get_label())
    for bar in container.patches:
        left, low, right, high = bar.get_bbox().extents
        middle, end, own = (left + right) / 2, bar.get_y() + bar.get_height(), str(bar.get_label())
        if not own.startswith("_"):
            yield own.replace(r"\$", "$"), (left, low, right, high)
        elif not series.startswith("_"):
            whole = _named(axes, round(middle))
            place = _x(axes, middle if not whole or _is_number(whole) else round(middle))
            value = _y(axes, end, spread.get(_key(middle, end)))
            yield _words(axes, series, place, value), (left, low, right, high)


def _points(axes: Axes, line: Any, series: str, spread: Spread) -> Iterator[tuple[str, Box]]:
    """The points of a line with markers; some of one without."""
    xs, ys = (np.asarray(each, dtype=float) for each in line.get_data(orig=False))
    marked = line.get_marker() not in ("None", "none", "", " ", None)
    told = POINTS if len(axes.lines) <= MANY else FEWER
    chosen = np.arange(len(xs)) if marked else np.linspace(0, len(xs) - 1, min(told, len(xs)))
    for index in np.unique(chosen.round().astype(int)):
        x, y = float(xs[index]), float(ys[index])
        if math.isfinite(x) and math.isfinite(y):
            value = _y(axes, y, spread.get(_key(x, y)))
            yield _words(axes, series, _x(axes, x), value), (x, y, x, y)


def _steps(axes: Axes, patch: Any) -> Iterator[tuple[str, Box]]:
    """The steps of a histogram, each as high as the panel; of many, two at once."""
    heights, edges, _ = patch.get_data()
    if len(heights) > STEPS and len(heights) % 2 == 0:
        heights, edges = heights[::2] + heights[1::2], edges[::2]
    low, high = axes.get_ylim()
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        place = f"{_x(axes, left)} to {_number(axes.fmt_xdata, right)}"
        text = _words(axes, "", place, f"{patch.get_label()} {_y(axes, height, None)}")
        yield text, (float(left), low, float(right), high)


def _cells(axes: Axes, mesh: Any) -> Iterator[tuple[str, Box]]:
    """The cells of a table in colours, without those that are empty."""
    values: NDArray[np.float64] = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan)
    corners = np.asarray(mesh.get_coordinates(), dtype=float)
    for (line, column), value in np.ndenumerate(values.reshape(len(corners) - 1, -1)):
        if math.isnan(value):
            continue
        (left, low), (right, high) = corners[line, column], corners[line + 1, column + 1]
        middle = (low + high) / 2
        row = _named(axes, middle, axes.yaxis) or f"{middle:g}"
        text = _words(axes, row, _x(axes, (left + right) / 2), mesh.format_cursor_data(value))
        yield text, (left, low, right, high)


def _x(axes: Axes, x: float) -> str:
    """A place on the horizontal axis: its tick's name, or a number after the axis's name."""
    named = _named(axes, x)
    if named and not _is_number(named):
        return named
    name = axes.get_xlabel() or _shared_label(axes.figure)
    if named and not math.isclose(float(named.rstrip(" %").replace("−", "-")), x):
        return f"{name} {named}".strip()  # a place in a row that stands for a number
    return f"{name.split(' (')[0].split(',')[0]} {_number(axes.fmt_xdata, x)}".strip()


def _shared_label(figure: Any) -> str:
    """The name of the horizontal axis where panels share one."""
    names = (figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes))
    return next((str(name) for name in names if name), "")


def _y(axes: Axes, y: float, spread: float | None) -> str:
    """A height, with its standard deviation where there is one."""
    text = _number(axes.fmt_ydata, y)
    return text if spread is None else f"{text} ± {_number(axes.fmt_ydata, spread)}"


def _number(form: Any, value: float) -> str:
    return str(form(value)) if form is not None else f"{value:.4g}"


def _named(axes: Axes, place: float, axis: Any = None) -> str:
    """The label of the tick at a place, in one line; empty where there is none."""
    axis = axes.xaxis if axis is None else axis
    for tick in axis.get_major_ticks():
        if math.isclose(tick.get_loc(), place, abs_tol=1e-9):
            return str(tick.label1.get_text()).replace("-\n", "").replace("\n", " ")
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip(" %").replace("−", "-"))
    except ValueError:
        return False
    return True
