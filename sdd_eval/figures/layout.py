"""Layout of figures: grids of panels, legends, ticks in percent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sdd_eval.figures.style import DOUBLE, SINGLE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Points that a letter takes on average at most, that a legend's handle takes with the space
#: between columns, and that a line takes.
LETTER, HANDLE, LINE = 4.1, 34.0, 11.0


@dataclass(frozen=True)
class Grid:
    """Panels in rows and columns of a figure whose width in inches is given."""

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

    def figure(self, height: float, **subplots: Any) -> tuple[Figure, NDArray[np.object_]]:
        """Return a figure and its axes (rows, columns), with unused axes off."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width, height), layout="constrained")
        axes = figure.subplots(self.rows, self.columns, squeeze=False, **subplots)
        for unused in axes.flat[self.panels :]:
            unused.set_axis_off()
        return figure, axes

    def last_of_columns(self, axes: NDArray[np.object_]) -> list[Axes]:
        """Return the panels that have none below them."""
        return list(axes.flat[max(0, self.panels - self.columns) : self.panels])


def panel_grid(panels: int, wide: int = 3, narrow: int = 1) -> Grid:
    """Return a grid as wide as matplotlib's setting `figure.figsize`.

    `wide` and `narrow` are the most columns in a figure of two columns and of one of a paper.
    """
    import matplotlib

    width = float(matplotlib.rcParams["figure.figsize"][0])
    return Grid(panels, width, min(panels, wide if width > (SINGLE + DOUBLE) / 2 else narrow))


def single_panel(height: float) -> tuple[Figure, Axes]:
    """Return a figure of one panel with this height in inches."""
    figure, axes = panel_grid(1).figure(height)
    return figure, axes[0, 0]


def label_rows(panels: NDArray[np.object_], label: str) -> None:
    """Label the vertical axis of the first panel of each row."""
    for axes in panels[:, 0]:
        axes.set_ylabel(label)


def legend(
    figure: Figure,
    entries: tuple[Sequence[Any], Sequence[str]],
    side: Literal["upper", "lower"] = "lower",
) -> None:
    """Add a legend of (handles, labels) on one side and increase the figure's height by as much.

    A label that is wider than the figure is truncated.
    """
    handles, labels = entries
    width = 72 * figure.get_figwidth()
    most = math.floor((width - HANDLE) / LETTER)
    texts = [label if len(label) <= most else f"{label[: most - 1]}…" for label in labels]
    longest = max((len(text) for text in texts), default=1)
    columns = max(1, min(len(texts), math.floor(width / (LETTER * longest + HANDLE))))
    lines = math.ceil(len(texts) / columns)
    figure.set_figheight(figure.get_figheight() + (LINE * lines + 8) / 72)
    location: Any = f"outside {side} center"
    figure.legend(handles, texts, loc=location, ncols=columns, frameon=False)


def percent_ticks(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Set ticks from 0 to 100 % on an axis of fractions, and one decimal under the cursor."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_ticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    setattr(axes, f"fmt_{which}data", lambda value: f"{100 * value:.1f} %")
