"""Words and numbers for what a figure shows: how its panels, series and places are called.

They are made of the axes' labels, titles, tick labels and matplotlib's own `fmt_xdata` and
`fmt_ydata`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
