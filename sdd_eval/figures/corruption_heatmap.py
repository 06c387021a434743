"""Accuracy for each corruption at each severity, and the difference that SD-Dropout makes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.marks import tell
from sdd_eval.figures.selection import (
    baselines,
    benchmark_order,
    distinct_numbers,
    group_names,
    spreads,
    where,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    #: Accuracies or differences in percent, corruption × severity.
    Cells = NDArray[np.float64]


@figure(
    "Accuracy under corruption, cell by cell",
    caption="Accuracy in percent, mean over seeds; the panels marked Δ show the change, in "
    "percentage points, against the same method without SD-Dropout (positive: SD-Dropout is "
    "better). Where the groups are too many for a page, a column is a group and each cell the mean "
    "over its severities.",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_heatmap(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Corruption × severity, a panel a group and one a difference."""
    from sdd_eval.figures.style import PAGE, room

    rows = where(results, evaluator="corruption", metric="accuracy")
    rows = rows[rows["corruption"].notna() & rows["severity"].notna()]
    if rows.empty:
        return None
    missing = where(results, evaluator="corruption", metric="missing", of=None)
    names = benchmark_order([*rows["corruption"], *missing["corruption"]])
    severities = distinct_numbers(rows, "severity")
    cells = {group: table(rows, group, names, severities) for group in group_names(rows)}
    against = {group: cells[group] - cells[base] for group, base in baselines(rows).items()}
    columns = room(len(cells) + len(against), narrow=2)[1]
    height = PAGE / math.ceil((len(cells) + len(against)) / columns) - EDGES
    if height < LINES[0] * len(names):
        return _of_groups(cells, against, names)
    return _of_severities(cells, against, names, severities, min(LINES[1], height / len(names)))


#: How high a line of a table may be, in inches, and what a table's title and ticks take.
LINES, EDGES = (0.14, 0.19), 0.72


def _of_severities(
    cells: Mapping[str, Cells],
    against: Mapping[str, Cells],
    names: list[str],
    severities: list[float],
    line: float,
) -> Figure:
    """Corruption × severity, a panel a group and one a difference."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import plain, room

    panels = [(plain(group, 30), values, False) for group, values in cells.items()]
    for group, values in against.items():
        title = f"Δ {plain(group, 30)}" if len(cells) > 2 else "Δ with SD-Dropout"
        panels.append((title, values, True))
    width, columns, lines = room(len(panels), narrow=2)
    narrow = width / columns < 2
    drawn = Figure(figsize=(width, (line * len(names) + EDGES) * lines), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharey=True)
    limit = _limit(against)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, values, difference) in zip(grid.flat, panels, strict=False):
        _panel(axes, values, limit if difference else None, 0 if narrow or limit >= 10 else 1)
        axes.set_title(title.replace(" + ", "\n+ ") if narrow else title)
        axes.set_xticks(np.arange(len(severities)) + 0.5, [f"{each:g}" for each in severities])
        _name_lines(axes, names)
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel("Severity")
    return drawn


def _of_groups(
    cells: Mapping[str, Cells], against: Mapping[str, Cells], names: list[str]
) -> Figure:
    """Corruption × group, means over severities; and the differences, beside it or below."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import plain, room

    tables = [("Mean over severities", cells), ("Δ with SD-Dropout", against)]
    tables = [(title, table) for title, table in tables if table]
    width, columns, lines = room(len(tables))
    drawn = Figure(figsize=(width, 4.2 * lines), layout="constrained")
    shares = [len(table) + 1 for _, table in tables] if columns > 1 else [1]
    grid = drawn.subplots(lines, columns, squeeze=False, width_ratios=shares)
    for axes, (title, table) in zip(grid.flat, tables, strict=True):
        values = np.stack([each.mean(axis=1) for each in table.values()], axis=1)
        _panel(axes, values, _limit(against) if table is against else None, 0)
        axes.set_title(title)
        labels = [plain(group, 28) for group in table]
        axes.set_xticks(np.arange(len(table)) + 0.5, labels, rotation=90)
        _name_lines(axes, names)
    for axes in grid[:, 1:].flat:
        axes.tick_params(labelleft=False)
    return drawn


def _limit(against: Mapping[str, Cells]) -> float:
    """The difference that has the strongest colour."""
    return max([5.0, *(float(np.nanmax(np.abs(each))) for each in against.values())])


def _name_lines(axes: Axes, names: list[str]) -> None:
    """The corruptions beside the lines of a table."""
    from sdd_eval.figures.style import plain

    labels = [plain(name.replace("_", " "), 22) for name in names]
    axes.set_yticks(np.arange(len(names)) + 0.5, labels)


def table(
    rows: pandas.DataFrame, group: str, names: list[str], severities: list[float]
) -> NDArray[np.float64]:
    """Mean accuracy in percent, corruption × severity; NaN where it was not measured."""
    values = np.full((len(names), len(severities)), np.nan)
    chosen = where(rows, group=group)
    for (name, severity), found in spreads(chosen, "corruption", "severity").items():
        place = names.index(name), severities.index(float(severity))
        values[place] = 100 * found.mean
    return values


def _panel(axes: Axes, values: NDArray[np.float64], limit: float | None, digits: int) -> None:
    """One table in colours, its numbers written into the cells; `limit` makes it a difference."""
    span = {"vmin": 0, "vmax": 100} if limit is None else {"vmin": -limit, "vmax": limit}
    mesh = axes.pcolormesh(
        values,
        cmap="cividis" if limit is None else "PuOr",
        edgecolors="white",
        linewidth=0.4,
        snap=True,
        **span,
    )
    tell(mesh, _percent if limit is None else _points)
    mesh.set_array(np.ma.masked_invalid(values))
    mesh.update_scalarmappable()
    shades = np.asarray(mesh.get_facecolor(), dtype=float).reshape(*values.shape, 4)[..., :3]
    for (line, column), value in np.ndenumerate(values):
        text = "–" if math.isnan(value) else _shown(value, None if limit is None else digits)
        dark = float(shades[line, column] @ (0.299, 0.587, 0.114)) < 0.5
        colour = "#fefefe" if dark and text != "–" else "#010101"
        axes.text(column + 0.5, line + 0.5, text, ha="center", va="center", fontsize=7, c=colour)
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0))
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _percent(value: float) -> str:
    return f"{value:.1f} %"


def _points(value: float) -> str:
    return f"{value:+.1f} points".replace("-", "−")


def _shown(value: float, digits: int | None) -> str:
    """A whole percent; a difference with its sign, and a decimal where all are small."""
    if digits is None:
        return f"{value:.0f}"
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"
