"""Layout of figures: grids of panels, legends, ticks in percent, lines and bars of groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdd_eval.figures.points import set_mark_text
from sdd_eval.figures.selection import group_names, spreads_by_number, where
from sdd_eval.figures.style import (
    COLUMN,
    DOUBLE,
    INK,
    MUTED,
    PAGE,
    PAPER,
    SINGLE,
    SMALL,
    GroupStyle,
    plain_text,
    styles_of,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from sdd_eval.statistics.seeds import SeedSummary

#: Size in points of a letter (at most, on average), of a legend handle with the space between
#: columns, and of a line.
LETTER, HANDLE, LINE = 3.93, 24.0, 11.0


@dataclass(frozen=True)
class Grid:
    """Panels in rows and columns of a figure of a given width in inches."""

    panels: int
    width: float
    columns: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return math.ceil(self.panels / self.columns)

    @property
    def panel_width(self) -> float:
        """The width of a panel in inches, including its share of the margins."""
        return self.width / self.columns

    @property
    def highest(self) -> float:
        """The maximum height in inches of a figure of this width."""
        return highest(self.width)

    def figure(
        self, height: float, *, sharex: bool = False, sharey: bool = False, **ratios: Any
    ) -> tuple[Figure, list[Axes]]:
        """Return a figure and its panels, row by row.

        Ticks of a shared axis are labelled only at the end of a column or the start of a row.
        """
        from matplotlib.figure import Figure

        size = (self.width, min(height, self.highest))
        figure = Figure(figsize=size, layout="constrained")
        cells = figure.add_gridspec(self.rows, self.columns, **ratios)
        panels: list[Axes] = []
        for index in range(self.panels):
            first = panels[0] if panels else None
            shared: dict[str, Any] = {"sharex": first if sharex else None}
            shared["sharey"] = first if sharey else None
            panels.append(figure.add_subplot(cells[divmod(index, self.columns)], **shared))
        if sharex or sharey:
            self.label_ticks(panels, not sharex, not sharey)
        return figure, panels

    def label_ticks(self, panels: Sequence[Axes], every_x: bool, every_y: bool) -> None:
        """Label the ticks of all panels, or only of the last of columns and the first of rows."""
        for index, axes in enumerate(panels):
            axes.tick_params(
                labelbottom=every_x or index + self.columns >= self.panels,
                labelleft=every_y or index % self.columns == 0,
            )

    def label(self, panels: Sequence[Axes], x: str = "", y: str = "") -> None:
        """Label the lowest panel of each column and the first panel of each row."""
        for axes in panels[max(0, self.panels - self.columns) :]:
            axes.set_xlabel(x or axes.get_xlabel())
        for axes in panels[:: self.columns]:
            axes.set_ylabel(y or axes.get_ylabel())


def highest(width: float) -> float:
    """Return the maximum height in inches of a figure of some width, including its legend."""
    return PAGE if width > (SINGLE + DOUBLE) / 2 else COLUMN


def panel_grid(panels: int, wide: int = 3, narrow: int = 1) -> Grid:
    """Return a grid as wide as matplotlib's setting `figure.figsize`.

    `wide` and `narrow` limit the columns of figures that span two columns of a paper, or one.
    """
    import matplotlib

    width = float(matplotlib.rcParams["figure.figsize"][0])
    return Grid(panels, width, min(panels, wide if width > (SINGLE + DOUBLE) / 2 else narrow))


def single_panel(height: float) -> tuple[Figure, Axes]:
    """Return a figure of one panel with this height in inches."""
    figure, (axes,) = panel_grid(1).figure(height)
    return figure, axes


def legend(
    figure: Figure,
    entries: tuple[Sequence[Any], Sequence[str]],
    side: Literal["upper", "lower"] = "lower",
) -> None:
    """Add a legend of (handles, labels) on one side, and increase the figure's height to match.

    A label that is wider than the figure is truncated.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    handles, labels = entries
    width, size = 72 * figure.get_figwidth(), FontProperties(size=rcParams["legend.fontsize"])
    narrow = any("STIX" in family for family in rcParams["font.family"])
    letter = size.get_size_in_points() * (0.45 if narrow else LETTER / SMALL)
    most = math.floor((width - HANDLE) / letter)
    texts = [label if len(label) <= most else f"{label[: most - 1]}…" for label in labels]
    longest = max((len(text) for text in texts), default=1)
    columns = max(1, min(len(texts), math.floor(width / (letter * longest + HANDLE))))
    lines = math.ceil(len(texts) / columns)
    height = figure.get_figheight() + (LINE * lines + 8) / 72
    figure.set_figheight(min(height, highest(width / 72)))
    location: Any = f"outside {side} center"
    spacing = {"columnspacing": 1.0, "handlelength": 1.6}
    figure.legend(handles, texts, loc=location, ncols=columns, frameon=False, **spacing)


def percent_ticks(axes: Axes, which: Literal["x", "y"] = "y", step: int = 25) -> None:
    """Set ticks from 0 to 100 % on an axis of fractions, with one decimal under the cursor."""
    ticks = range(0, 101, step)
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_ticks([tick / 100 for tick in ticks], [f"{tick} %" for tick in ticks])
    setattr(axes, f"fmt_{which}data", lambda value: f"{100 * value:.1f} %")


def group_line(
    axes: Axes, points: Mapping[float, SeedSummary], style: GroupStyle, **options: Any
) -> None:
    """Draw a group's means at each x as a line with whiskers; `options` override the style's."""
    shared: dict[str, Any] = {"marker": style.marker, "linestyle": style.line, "capsize": 2}
    axes.errorbar(
        list(points),
        [value.mean for value in points.values()],
        yerr=[value.std if value.n > 1 else 0.0 for value in points.values()],
        color=style.colour,
        elinewidth=0.8,
        **{**shared, **options},
    )


def mean_line(axes: Axes, points: Mapping[Any, SeedSummary], **options: Any) -> None:
    """Draw the means at each x as a line without whiskers."""
    axes.plot(list(points), [value.mean for value in points.values()], **options)


def accuracy_by_epsilon(
    rows: pandas.DataFrame, clean: pandas.DataFrame
) -> dict[float, SeedSummary]:
    """Return a group's accuracy by ascending ε; at 0 that of `clean`, which may repeat rows."""
    before = clean.drop_duplicates("checkpoint").assign(epsilon=0.0)
    return {**spreads_by_number(before, "epsilon"), **spreads_by_number(rows, "epsilon")}


def epoch_lines(
    axes: Axes,
    rows: pandas.DataFrame,
    metric: str,
    results: pandas.DataFrame,
    *,
    hollow: bool,
    label: str = "",
) -> None:
    """Draw a metric of the training history against the epoch, with a line per group."""
    styles = styles_of(results)
    selected = where(rows, metric=metric)
    for group in group_names(selected):
        of_group, style = where(selected, group=group), styles[group]
        group_line(
            axes,
            spreads_by_number(of_group, "epoch"),
            style,
            linestyle=":" if hollow else style.line,
            markerfacecolor="none" if hollow else style.colour,
            label=f"{plain_text(group)}{label}",
        )


def filled_and_hollow() -> list[Line2D]:
    """Return legend handles of a filled and a hollow line, in no group's colour."""
    from matplotlib.lines import Line2D

    hollow: dict[str, Any] = {"markerfacecolor": "none", "linestyle": ":"}
    return [Line2D([], [], color=MUTED, marker="o", **style) for style in ({}, hollow)]


def offset(index: int, groups: int, width: float) -> float:
    """Return the offset of a group from the centre of its cluster, which has this width."""
    return (index - (groups - 1) / 2) * width / groups


@dataclass(frozen=True)
class Interval:
    """A marker at a height `y` with a horizontal interval, NaN if unknown, and its text."""

    y: float
    value: float
    low: float
    high: float
    text: str
    filled: bool = True


def interval_markers(
    axes: Axes, marks: Sequence[Interval], style: GroupStyle, label: str, **options: Any
) -> None:
    """Draw a group's markers as at most two artists, filled and hollow; the first is labelled.

    Many artists would make drawing slow and the SVG file long.
    """
    shown = [part for full in (True, False) if (part := [m for m in marks if m.filled == full])]
    for index, part in enumerate(shown):
        ends = np.array([(mark.value - mark.low, mark.high - mark.value) for mark in part]).T
        bars = axes.errorbar(
            [mark.value for mark in part],
            [mark.y for mark in part],
            xerr=np.nan_to_num(ends),
            color=style.colour,
            marker=style.marker,
            markerfacecolor=style.colour if part[0].filled else PAPER,
            linestyle="none",
            elinewidth=0.9,
            label=f"_{label}" if index else label,
            **options,
        )
        set_mark_text(bars.lines[0], [mark.text for mark in part].__getitem__)


def group_bars(
    axes: Axes,
    heights: Sequence[SeedSummary | None],
    index: int,
    groups: int,
    style: GroupStyle,
    label: str,
    **error: Any,
) -> None:
    """Draw a group's bars, one in each cluster (at 0, 1, 2 …) for which it has a number.

    `index` is the group's position among the `groups` of a cluster; `error` are matplotlib's
    options of the whiskers.
    """
    known = [(cluster, value) for cluster, value in enumerate(heights) if value is not None]
    axes.bar(
        np.array([cluster for cluster, _ in known]) + offset(index, groups, 0.8),
        [value.mean for _, value in known],
        0.8 / groups,
        yerr=[value.std for _, value in known],
        error_kw={"ecolor": INK, **error},
        color=style.colour,
        edgecolor=INK,
        linewidth=0.4,
        hatch=style.hatch,
        label=label,
    )
