"""Accuracy by corruption and severity, and its change by SD-Dropout, as heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import Grid, panel_grid
from sdd_eval.figures.marks import set_mark_text
from sdd_eval.figures.selection import (
    baselines,
    benchmark_order,
    distinct_numbers,
    group_names,
    spreads,
    where,
)
from sdd_eval.figures.style import PAGE, plain_text

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    #: Accuracies or differences in percent, (corruptions, severities).
    Cells = NDArray[np.float64]

#: Lowest and greatest height of a row, and the height of title and ticks, in inches.
ROW_HEIGHTS, MARGINS = (0.14, 0.19), 0.72


@figure(
    "Accuracy by corruption and severity",
    caption="""Accuracy in percent, mean over seeds; panels marked Δ show the change in percentage
    points relative to the same method without SD-Dropout (positive: SD-Dropout is better). If there
    are too many groups for a page, a column is a group and each cell the mean over severities.""",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_heatmap(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per group and one per difference; of many groups, their means."""
    rows = where(results, evaluator="corruption", metric="accuracy")
    rows = rows[rows["corruption"].notna() & rows["severity"].notna()]
    if rows.empty:
        return None
    missing = where(results, evaluator="corruption", metric="missing", of=None)
    names = benchmark_order([*rows["corruption"], *missing["corruption"]])
    severities = distinct_numbers(rows, "severity")
    cells = {group: cells_of(rows, group, names, severities) for group in group_names(rows)}
    changes = {group: cells[group] - cells[base] for group, base in baselines(rows).items()}
    grid = panel_grid(len(cells) + len(changes), narrow=2)
    height = (PAGE / grid.rows - MARGINS) / len(names)
    if height < ROW_HEIGHTS[0]:
        return _by_group(cells, changes, names)
    return _by_severity(grid, cells, changes, names, severities, min(ROW_HEIGHTS[1], height))


def cells_of(
    rows: pandas.DataFrame, group: str, names: list[str], severities: list[float]
) -> NDArray[np.float64]:
    """Return the mean accuracy in percent (corruptions, severities), NaN if not measured."""
    values = np.full((len(names), len(severities)), np.nan)
    of_group = where(rows, group=group)
    for (name, severity), value in spreads(of_group, "corruption", "severity").items():
        values[names.index(name), severities.index(float(severity))] = 100 * value.mean
    return values


def _by_severity(
    grid: Grid,
    cells: Mapping[str, Cells],
    changes: Mapping[str, Cells],
    names: list[str],
    severities: list[float],
    row_height: float,
) -> Figure:
    """Draw corruption × severity, with a panel per group and one per difference."""
    contents = [(plain_text(group, 30), values, False) for group, values in cells.items()]
    for group, values in changes.items():
        title = f"Δ {plain_text(group, 30)}" if len(cells) > 2 else "Δ with SD-Dropout"
        contents.append((title, values, True))
    figure, panels = grid.figure((row_height * len(names) + MARGINS) * grid.rows, sharey=True)
    narrow, limit = grid.panel_width < 2, _limit(changes)
    for axes, (title, values, is_change) in zip(panels.flat, contents, strict=False):
        _panel(axes, values, limit if is_change else None, 0 if narrow or limit >= 10 else 1)
        axes.set_title(title.replace(" + ", "\n+ ") if narrow else title)
        axes.set_xticks(
            np.arange(len(severities)) + 0.5, [f"{severity:g}" for severity in severities]
        )
        _label_rows(axes, names)
    for axes in grid.last_of_columns(panels):
        axes.set_xlabel("Severity")
    return figure


def _by_group(cells: Mapping[str, Cells], changes: Mapping[str, Cells], names: list[str]) -> Figure:
    """Draw corruption × group with means over severities, and the differences."""
    tables = [("Mean over severities", cells), ("Δ with SD-Dropout", changes)]
    tables = [(title, table) for title, table in tables if table]
    grid = panel_grid(len(tables))
    ratios = [len(table) + 1 for _, table in tables] if grid.columns > 1 else [1]
    figure, panels = grid.figure(4.2 * grid.rows, width_ratios=ratios)
    for axes, (title, table) in zip(panels.flat, tables, strict=True):
        values = np.stack([rates.mean(axis=1) for rates in table.values()], axis=1)
        _panel(axes, values, _limit(changes) if table is changes else None, 0)
        axes.set_title(title)
        labels = [plain_text(group, 28) for group in table]
        axes.set_xticks(np.arange(len(table)) + 0.5, labels, rotation=90)
        _label_rows(axes, names)
    for axes in panels[:, 1:].flat:
        axes.tick_params(labelleft=False)
    return figure


def _limit(changes: Mapping[str, Cells]) -> float:
    return max([5.0, *(float(np.nanmax(np.abs(cells))) for cells in changes.values())])


def _label_rows(axes: Axes, names: list[str]) -> None:
    labels = [plain_text(name.replace("_", " "), 22) for name in names]
    axes.set_yticks(np.arange(len(names)) + 0.5, labels)


def _panel(axes: Axes, values: NDArray[np.float64], limit: float | None, digits: int) -> None:
    """Draw a heat map with its numbers; a `limit` makes it one of differences."""
    span = {"vmin": 0, "vmax": 100} if limit is None else {"vmin": -limit, "vmax": limit}
    mesh = axes.pcolormesh(
        values,
        cmap="cividis" if limit is None else "PuOr",
        edgecolors="white",
        linewidth=0.4,
        snap=True,
        **span,
    )
    set_mark_text(mesh, _percent if limit is None else _points)
    mesh.set_array(np.ma.masked_invalid(values))
    mesh.update_scalarmappable()
    shades = np.asarray(mesh.get_facecolor(), dtype=float).reshape(*values.shape, 4)[..., :3]
    for (row, column), value in np.ndenumerate(values):
        text = "–" if math.isnan(value) else _cell_text(value, None if limit is None else digits)
        dark = float(shades[row, column] @ (0.299, 0.587, 0.114)) < 0.5
        colour = "#fefefe" if dark and text != "–" else "#010101"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, c=colour)
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0))
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _percent(value: float) -> str:
    return f"{value:.1f} %"


def _points(value: float) -> str:
    return f"{value:+.1f} points".replace("-", "−")


def _cell_text(value: float, digits: int | None) -> str:
    """Format a percentage without decimals; a difference with its sign and `digits` decimals."""
    if digits is None:
        return f"{value:.0f}"
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"
