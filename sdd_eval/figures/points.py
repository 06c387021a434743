"""The numbers of a drawn figure: as a table of points, and as tooltips with their positions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLUMNS = ("panel", "series", "x", "x_end", "y", "low", "high", "words")
#: Half the side of the box around a point, in points of print.
HALF = 4.0


def points_of(figure: Figure) -> pandas.DataFrame:
    """Return all points, bars, cells and bins of a figure, to redraw it with another tool.

    The figure's layout must be complete. `x` is the name of its tick or a number in the axis's
    unit, and a bin extends to `x_end`; `low` and `high` are the ends of an error bar along y.
    `words` is the text of a mark that has its own, such as one with an interval along x. Numbers
    have six digits.
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
    """Return the tooltips of a figure whose layout is complete, by panel in reading order."""
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


#: Number of points described on a line without markers, usually and in a panel of more than
#: `MANY_LINES` lines.
POINTS, FEWER_POINTS, MANY_LINES = 11, 6, 6
#: A histogram of more bins than this is described two bins at a time.
BINS = 20

#: left, bottom, right, top.
Box = tuple[float, float, float, float]
#: Half the length of the error bar at a point.
ErrorBars = dict[tuple[float, float], float]


@dataclass(frozen=True)
class Mark:
    """A point, bar, cell or bin of a figure, in data coordinates.

    `spread` is half the length of an error bar. `text` returns the mark's description, and
    `own_text` tells whether the artist has its own. A bin extends from `x` to `x_end`.
    """

    axes: Axes
    series: str
    box: Box
    x: float
    y: float
    text: Callable[[], str]
    spread: float | None = None
    own_text: bool = False
    x_end: float | None = None

    @property
    def error_bar(self) -> tuple[float, float] | tuple[None, None]:
        """The ends of the error bar."""
        return (None, None) if self.spread is None else (self.y - self.spread, self.y + self.spread)


def set_mark_text(artist: Any, text: Callable[[Any], str]) -> None:
    """Set the text of an artist's marks, by index or value, also under matplotlib's cursor."""
    artist.format_cursor_data = text


def marks_of(figure: Figure, *, every: bool = False) -> Iterator[Mark]:
    """Return the marks of a figure whose layout is complete, panel by panel.

    With `every`, include all points of long lines and all bins of long histograms.
    """
    for axes in figure.axes:
        if axes.axison:
            yield from _panel_marks(axes, every)


def _panel_marks(axes: Axes, every: bool) -> Iterator[Mark]:
    from matplotlib.collections import QuadMesh
    from matplotlib.container import ErrorbarContainer
    from matplotlib.patches import StepPatch

    error_bars = {
        id(bars.lines[0]): (str(bars.get_label()), _error_bars(bars))
        for bars in axes.containers
        if isinstance(bars, ErrorbarContainer)
    }
    for container in axes.containers:
        if hasattr(container, "patches"):
            yield from _bars(axes, container)
    for line in axes.lines:
        label, spreads = error_bars.get(id(line), (str(line.get_label()), {}))
        yield from _line(axes, line, label, spreads, every)
    for patch in axes.patches:
        yield from _bins(axes, patch, every) if isinstance(patch, StepPatch) else ()
    for mesh in axes.collections:
        yield from _cells(axes, mesh) if isinstance(mesh, QuadMesh) else ()


def _error_bars(container: Any) -> ErrorBars:
    spreads: ErrorBars = {}
    segments = (segment for bar in container.lines[2] for segment in bar.get_segments())
    for segment in segments:
        if len(segment):
            (x, low), (_, high) = segment[0], segment[-1]
            if high > low:
                spreads[_key(x, (low + high) / 2)] = float(high - low) / 2
    return spreads


def _key(x: float, y: float) -> tuple[float, float]:
    return round(float(x), 9), round(float(y), 9)


def _line(axes: Axes, line: Any, label: str, spreads: ErrorBars, every: bool) -> Iterator[Mark]:
    """Return the marks of a line with its own text or with a label."""
    if "format_cursor_data" in vars(line):
        for index, (x, y) in enumerate(line.get_xydata().tolist()):
            text = functools.partial(_unescaped, line.format_cursor_data(index))
            yield Mark(axes, _series_name(label), (x, y, x, y), x, y, text, own_text=True)
    elif not label.startswith("_"):
        yield from _points(axes, line, label, spreads, every)


def _points(axes: Axes, line: Any, series: str, spreads: ErrorBars, every: bool) -> Iterator[Mark]:
    """Return all points of a line with markers, or a selection of one without."""
    xs, ys = (np.asarray(coordinates, dtype=float) for coordinates in line.get_data(orig=False))
    every = every or line.get_marker() not in ("None", "none", "", " ", None)
    most = POINTS if len(axes.lines) <= MANY_LINES else FEWER_POINTS
    chosen = np.arange(len(xs)) if every else np.linspace(0, len(xs) - 1, min(most, len(xs)))
    for index in np.unique(chosen.round().astype(int)):
        x, y = float(xs[index]), float(ys[index])
        if math.isfinite(x) and math.isfinite(y):
            yield _point(axes, series, (x, y, x, y), x, y, spreads.get(_key(x, y)))


def _point(axes: Axes, series: str, box: Box, x: float, y: float, spread: float | None) -> Mark:
    def text() -> str:
        return _sentence(axes, series, _x_text(axes, x), _y_text(axes, y, spread))

    return Mark(axes, series, box, x, y, text, spread)


def _bars(axes: Axes, container: Any) -> Iterator[Mark]:
    series = str(container.get_label())
    spreads = {} if container.errorbar is None else _error_bars(container.errorbar)
    for bar in container.patches:
        left, low, right, high = map(float, bar.get_bbox().extents)
        box = (left, low, right, high)
        middle, end, label = (left + right) / 2, bar.get_y() + bar.get_height(), bar.get_label()
        if not str(label).startswith("_"):
            text = functools.partial(_unescaped, label)
            yield Mark(axes, _series_name(series), box, middle, end, text, own_text=True)
        elif not series.startswith("_"):
            spread = spreads.get(_key(middle, end))
            tick = _tick_name(axes, round(middle))  # of the cluster that the bar belongs to
            x = middle if not tick or _is_number(tick) else round(middle)
            yield _point(axes, series, box, x, end, spread)


def _bins(axes: Axes, patch: Any, every: bool) -> Iterator[Mark]:
    """Return the bins of a histogram, each as high as the panel."""
    heights, edges, _ = patch.get_data()
    if len(heights) > BINS and len(heights) % 2 == 0 and not every:
        heights, edges = heights[::2] + heights[1::2], edges[::2]
    low, high = axes.get_ylim()
    series = str(patch.get_label())
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        text = functools.partial(_bin_text, axes, series, left, right, height)
        box = (float(left), low, float(right), high)
        yield Mark(axes, series, box, box[0], float(height), text, x_end=box[2])


def _bin_text(axes: Axes, series: str, left: float, right: float, height: float) -> str:
    interval = f"{_x_text(axes, left)} to {_formatted(axes.fmt_xdata, right)}"
    return _sentence(axes, "", interval, f"{series} {_y_text(axes, height, None)}")


def _cells(axes: Axes, mesh: Any) -> Iterator[Mark]:
    array: Any = np.ma.asarray(mesh.get_array(), dtype=float)
    values: NDArray[np.float64] = np.ma.filled(array, np.nan)
    corners = np.asarray(mesh.get_coordinates(), dtype=float)
    for (row, column), value in np.ndenumerate(values.reshape(len(corners) - 1, -1)):
        if math.isnan(value):
            continue
        left, low = corners[row, column].tolist()
        right, high = corners[row + 1, column + 1].tolist()
        x, y = (left + right) / 2, (low + high) / 2
        series = _tick_name(axes, y, axes.yaxis) or f"{y:g}"
        text = functools.partial(_cell_text, axes, mesh, series, x, value)
        yield Mark(axes, series, (left, low, right, high), x, float(value), text)


def _cell_text(axes: Axes, mesh: Any, series: str, x: float, value: float) -> str:
    return _sentence(axes, series, _x_text(axes, x), mesh.format_cursor_data(value))


def _unescaped(text: object) -> str:
    """Return text without the escapes that keep matplotlib from reading it as mathematics."""
    return str(text).replace(r"\$", "$")


def _series_name(label: str) -> str:
    """Return a label, even one that legends omit; empty if matplotlib generated it."""
    generated = label.startswith(("_child", "_container", "_nolegend_"))
    return "" if generated else _unescaped(label.removeprefix("_"))


def panel_name(axes: Axes) -> str:
    """Return the label of a panel, or its title."""
    return _unescaped(" ".join(str(axes.get_label() or axes.get_title()).split()))


def _sentence(axes: Axes, series: str, x: str, value: str) -> str:
    heads = (panel_name(axes), series, x)
    return _unescaped(f"{', '.join(head for head in heads if head)}: {value}")


def x_value(axes: Axes, x: float) -> str | float:
    """Return the name of the tick at x or the number that it stands for, else x."""
    from matplotlib.ticker import FixedLocator

    name = _tick_name(axes, x)
    if name and not _is_number(name):
        return name
    fixed = isinstance(axes.xaxis.get_major_locator(), FixedLocator)
    return _number(name) if name and fixed and "%" not in name else x


def _x_text(axes: Axes, x: float) -> str:
    """Return the name of the tick at x, or the axis label with a number."""
    name = _tick_name(axes, x)
    if name and not _is_number(name):
        return name
    label = axes.get_xlabel() or _shared_label(axes.figure)
    if name and not math.isclose(_number(name), x):
        return f"{label} {name}".strip()  # a category that is named by a number
    return f"{label.split(' (')[0].split(',')[0]} {_formatted(axes.fmt_xdata, x)}".strip()


def _shared_label(figure: Any) -> str:
    """Return the label of the horizontal axis that panels share."""
    labels = (figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes))
    return next((str(label) for label in labels if label), "")


def _y_text(axes: Axes, y: float, spread: float | None) -> str:
    text = _formatted(axes.fmt_ydata, y)
    return text if spread is None else f"{text} ± {_formatted(axes.fmt_ydata, spread)}"


def _formatted(formatter: Any, value: float) -> str:
    """Format a number with an axis's formatter, else with four digits."""
    return str(formatter(value)) if formatter is not None else f"{value:.4g}"


def _tick_name(axes: Axes, position: float, axis: Any = None) -> str:
    axis = axes.xaxis if axis is None else axis
    for tick in axis.get_major_ticks():
        if math.isclose(tick.get_loc(), position, abs_tol=1e-9):
            return str(tick.label1.get_text()).replace("-\n", "").replace("\n", " ")
    return ""


def _number(text: str) -> float:
    return float(text.rstrip(" %").replace("−", "-"))


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True
