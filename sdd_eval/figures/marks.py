"""What the artists of a figure show, each place with its numbers and words: bars, points, cells.

A bar that has a label of its own is told by it alone, a point whose line has a `format_cursor_data`
of its own by that; all others in words as `wording` makes them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
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

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """One place of an artist: left, low, right and high end of what it covers, and its number.

    All in data coordinates. `spread` is half the length of an error bar; `words` tell the place and
    its number, and `own` is whether the artist has words of its own for them; a step of a histogram
    reaches from `x` to `x_end`.
    """

    axes: Axes
    series: str
    box: Box
    x: float
    y: float
    words: Callable[[], str]
    spread: float | None = None
    own: bool = False
    x_end: float | None = None

    @property
    def bar(self) -> tuple[float, float] | tuple[None, None]:
        """The ends of the error bar."""
        return (None, None) if self.spread is None else (self.y - self.spread, self.y + self.spread)

    @property
    def panel(self) -> str:
        """What the panel is called, by its label, or its title."""
        return panel_of(self.axes)


def tell(artist: Any, words: Callable[[Any], str]) -> None:
    """Let an artist say its value in words of its own, here and under matplotlib's cursor."""
    artist.format_cursor_data = words


def marks_of(figure: Figure, *, every: bool = False) -> Iterator[Mark]:
    """The marks of a figure, panel by panel; of long lines and histograms `every` one, or some."""
    for axes in figure.axes:
        if axes.axison:
            yield from _of_panel(axes, every)


def _of_panel(axes: Axes, every: bool) -> Iterator[Mark]:
    from matplotlib.collections import QuadMesh
    from matplotlib.patches import StepPatch

    whiskers = _errorbars(axes)
    for container in axes.containers:
        if hasattr(container, "patches"):
            yield from _bars(axes, container)
    for line in axes.lines:
        label, spread = whiskers.get(id(line), (str(line.get_label()), {}))
        yield from _line(axes, line, label, spread, every)
    for patch in axes.patches:
        yield from _steps(axes, patch, every) if isinstance(patch, StepPatch) else ()
    for mesh in axes.collections:
        yield from _cells(axes, mesh) if isinstance(mesh, QuadMesh) else ()


def _line(axes: Axes, line: Any, series: str, spread: SeedSummary, every: bool) -> Iterator[Mark]:
    """What a line tells: by itself, by its points, or nothing where it has no label."""
    if "format_cursor_data" in vars(line):
        for index, (x, y) in enumerate(line.get_xydata().tolist()):
            words = functools.partial(_told, line, index)
            yield Mark(axes, series_of(series), (x, y, x, y), x, y, words, own=True)
    elif not series.startswith("_"):
        yield from _points(axes, line, series, spread, every)


def _told(line: Any, index: int) -> str:
    return clean(line.format_cursor_data(index))


SeedSummary = dict[tuple[float, float], float]


def _errorbars(axes: Axes) -> dict[int, tuple[str, SeedSummary]]:
    """Of each line that has error bars its label, and how long they are."""
    from matplotlib.container import ErrorbarContainer

    return {
        id(each.lines[0]): (str(each.get_label()), _lengths(each))
        for each in axes.containers
        if isinstance(each, ErrorbarContainer)
    }


def _lengths(container: Any) -> SeedSummary:
    """Half the length of the error bar about each point of one series; none where there is none."""
    found: SeedSummary = {}
    for segment in (each for bar in container.lines[2] for each in bar.get_segments() if len(each)):
        (x, low), (_, high) = segment[0], segment[-1]
        if high > low:
            found[_key(x, (low + high) / 2)] = float(high - low) / 2
    return found


def _key(x: float, y: float) -> tuple[float, float]:
    return round(float(x), 9), round(float(y), 9)


def _bars(axes: Axes, container: Any) -> Iterator[Mark]:
    """The bars of a container; one with a label of its own is told by it."""
    series = str(container.get_label())
    spread = {} if container.errorbar is None else _lengths(container.errorbar)
    for bar in container.patches:
        left, low, right, high = map(float, bar.get_bbox().extents)
        box = (left, low, right, high)
        middle, end, own = (left + right) / 2, bar.get_y() + bar.get_height(), bar.get_label()
        if not str(own).startswith("_"):
            words = functools.partial(clean, own)
            yield Mark(axes, series_of(series), box, middle, end, words, own=True)
        elif not series.startswith("_"):
            length = spread.get(_key(middle, end))
            x = _tick_beside(axes, middle)
            words = functools.partial(_of_point, axes, series, x, end, length)
            yield Mark(axes, series, box, x, end, words, length)


def _tick_beside(axes: Axes, middle: float) -> float:
    """Where a bar belongs: at the tick beside which it and others stand, if that has a name."""
    whole = tick_name(axes, round(middle))
    return middle if not whole or is_number(whole) else round(middle)


def _points(axes: Axes, line: Any, series: str, spread: SeedSummary, every: bool) -> Iterator[Mark]:
    """The points of a line with markers; of one without every one, or some."""
    xs, ys = (np.asarray(each, dtype=float) for each in line.get_data(orig=False))
    marked = line.get_marker() not in ("None", "none", "", " ", None)
    told = POINTS if len(axes.lines) <= MANY else FEWER
    whole = every or marked
    chosen = np.arange(len(xs)) if whole else np.linspace(0, len(xs) - 1, min(told, len(xs)))
    for index in np.unique(chosen.round().astype(int)):
        x, y = float(xs[index]), float(ys[index])
        if math.isfinite(x) and math.isfinite(y):
            length = spread.get(_key(x, y))
            words = functools.partial(_of_point, axes, series, x, y, length)
            yield Mark(axes, series, (x, y, x, y), x, y, words, length)


def _of_point(axes: Axes, series: str, x: float, y: float, spread: float | None) -> str:
    return sentence(axes, series, place_in_words(axes, x), height_in_words(axes, y, spread))


def _steps(axes: Axes, patch: Any, every: bool) -> Iterator[Mark]:
    """The steps of a histogram, each as high as the panel; of many `every` one, or two at once."""
    heights, edges, _ = patch.get_data()
    if len(heights) > STEPS and len(heights) % 2 == 0 and not every:
        heights, edges = heights[::2] + heights[1::2], edges[::2]
    low, high = axes.get_ylim()
    series = str(patch.get_label())
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        words = functools.partial(_of_step, axes, series, left, right, height)
        box = (float(left), low, float(right), high)
        yield Mark(axes, series, box, box[0], float(height), words, x_end=box[2])


def _of_step(axes: Axes, series: str, left: float, right: float, height: float) -> str:
    place = f"{place_in_words(axes, left)} to {formatted(axes.fmt_xdata, right)}"
    return sentence(axes, "", place, f"{series} {height_in_words(axes, height, None)}")


def _cells(axes: Axes, mesh: Any) -> Iterator[Mark]:
    """The cells of a table in colours, without those that are empty."""
    values: NDArray[np.float64] = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan)
    corners = np.asarray(mesh.get_coordinates(), dtype=float)
    for (line, column), value in np.ndenumerate(values.reshape(len(corners) - 1, -1)):
        if math.isnan(value):
            continue
        (left, low), (right, high) = (
            corners[line, column].tolist(),
            corners[line + 1, column + 1].tolist(),
        )
        middle = (low + high) / 2
        row = tick_name(axes, middle, axes.yaxis) or f"{middle:g}"
        x = (left + right) / 2
        words = functools.partial(_of_cell, axes, mesh, row, x, value)
        yield Mark(axes, row, (left, low, right, high), x, float(value), words)


def _of_cell(axes: Axes, mesh: Any, row: str, x: float, value: float) -> str:
    return sentence(axes, row, place_in_words(axes, x), mesh.format_cursor_data(value))


def clean(text: object) -> str:
    """Text without what keeps matplotlib from reading it as mathematics."""
    return str(text).replace(r"\$", "$")


def series_of(label: str) -> str:
    """A label, also one that legends leave out; empty where matplotlib made it up."""
    made_up = label.startswith(("_child", "_container", "_nolegend_"))
    return "" if made_up else clean(label.removeprefix("_"))


def panel_of(axes: Axes) -> str:
    """What a panel is called, by its label, or its title."""
    return clean(" ".join(str(axes.get_label() or axes.get_title()).split()))


def sentence(axes: Axes, series: str, place: str, value: str) -> str:
    """Panel, series, place and number."""
    heads = (panel_of(axes), series, place)
    return clean(f"{', '.join(each for each in heads if each)}: {value}")


def place_of(axes: Axes, x: float) -> str | float:
    """A place on the horizontal axis: its tick's name or, in a row of them, number; else itself."""
    from matplotlib.ticker import FixedLocator

    named = tick_name(axes, x)
    if named and not is_number(named):
        return named
    chosen = isinstance(axes.xaxis.get_major_locator(), FixedLocator)
    return _as_number(named) if named and chosen and "%" not in named else x


def place_in_words(axes: Axes, x: float) -> str:
    """A place on the horizontal axis in words: its tick's name, or a number after the axis's."""
    named = tick_name(axes, x)
    if named and not is_number(named):
        return named
    name = axes.get_xlabel() or _shared_label(axes.figure)
    if named and not math.isclose(_as_number(named), x):
        return f"{name} {named}".strip()  # a place in a row that stands for a number
    return f"{name.split(' (')[0].split(',')[0]} {formatted(axes.fmt_xdata, x)}".strip()


def _shared_label(figure: Any) -> str:
    """The name of the horizontal axis where panels share one."""
    names = (figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes))
    return next((str(name) for name in names if name), "")


def height_in_words(axes: Axes, y: float, spread: float | None) -> str:
    """A height, with its standard deviation where there is one."""
    text = formatted(axes.fmt_ydata, y)
    return text if spread is None else f"{text} ± {formatted(axes.fmt_ydata, spread)}"


def formatted(form: Any, value: float) -> str:
    """A number as an axis writes it, else with four digits."""
    return str(form(value)) if form is not None else f"{value:.4g}"


def tick_name(axes: Axes, place: float, axis: Any = None) -> str:
    """The label of the tick at a place, in one line; empty where there is none."""
    axis = axes.xaxis if axis is None else axis
    for tick in axis.get_major_ticks():
        if math.isclose(tick.get_loc(), place, abs_tol=1e-9):
            return str(tick.label1.get_text()).replace("-\n", "").replace("\n", " ")
    return ""


def _as_number(text: str) -> float:
    return float(text.rstrip(" %").replace("−", "-"))


def is_number(text: str) -> bool:
    """Whether the label of a tick is a number."""
    try:
        _as_number(text)
    except ValueError:
        return False
    return True
