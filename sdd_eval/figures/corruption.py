"""Accuracy under corruptions: heat maps, bars, and changes by SD-Dropout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import (
    Grid,
    group_bars,
    legend,
    offset,
    panel_grid,
    percent_ticks,
    single_panel,
)
from sdd_eval.figures.points import set_mark_text
from sdd_eval.figures.selection import (
    baselines,
    benchmark_order,
    distinct_numbers,
    group_names,
    spreads,
    where,
)
from sdd_eval.figures.style import MUTED, PAGE, GroupStyle, plain_text, styles_of
from sdd_eval.metrics.formatting import format_difference, format_interval
from sdd_eval.metrics.registry import metric
from sdd_eval.statistics.seeds import Difference, adjust, difference

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
    for axes, (title, values, is_change) in zip(panels, contents, strict=True):
        _panel(axes, values, limit if is_change else None, 0 if narrow or limit >= 10 else 1)
        axes.set_title(title.replace(" + ", "\n+ ") if narrow else title)
        axes.set_xticks(
            np.arange(len(severities)) + 0.5, [f"{severity:g}" for severity in severities]
        )
        _label_rows(axes, names)
    grid.label(panels, "Severity")
    return figure


def _by_group(cells: Mapping[str, Cells], changes: Mapping[str, Cells], names: list[str]) -> Figure:
    """Draw corruption × group with means over severities, and the differences."""
    tables = [("Mean over severities", cells), ("Δ with SD-Dropout", changes)]
    tables = [(title, table) for title, table in tables if table]
    grid = panel_grid(len(tables))
    ratios = [len(table) + 1 for _, table in tables] if grid.columns > 1 else [1]
    figure, panels = grid.figure(4.2 * grid.rows, sharey=True, width_ratios=ratios)
    for axes, (title, table) in zip(panels, tables, strict=True):
        values = np.stack([rates.mean(axis=1) for rates in table.values()], axis=1)
        _panel(axes, values, _limit(changes) if table is changes else None, 0)
        axes.set_title(title)
        labels = [plain_text(group, 28) for group in table]
        axes.set_xticks(np.arange(len(table)) + 0.5, labels, rotation=90)
        _label_rows(axes, names)
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


@figure(
    "Accuracy under corruption",
    caption="""Mean accuracy over the severities of each corruption, averaged over seeds; whiskers:
    one standard deviation over seeds.""",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_bars(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a cluster of bars per corruption, in two rows in one column of a paper."""
    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    if rows.empty:
        return None
    names = benchmark_order(rows["corruption"])
    lines = min(panel_grid(2).rows, len(names))
    figure, panels = Grid(lines, panel_grid(1).width, 1).figure(0.3 + 2.3 * lines)
    per_line = math.ceil(len(names) / lines)
    for line, axes in enumerate(panels):
        shown = names[line * per_line : (line + 1) * per_line]
        _bars(axes, rows, shown, per_line, styles_of(results))
    legend(figure, axes.get_legend_handles_labels(), "upper")
    return figure


def _bars(
    axes: Axes,
    rows: pandas.DataFrame,
    names: list[str],
    clusters: int,
    styles: dict[str, GroupStyle],
) -> None:
    groups = group_names(rows)
    capsize = 1.2 if len(groups) < 5 else 0
    for index, group in enumerate(groups):
        values = spreads(where(rows, group=group), "corruption")
        heights = [values.get(name) for name in names]
        style, label = styles[group], plain_text(group)
        group_bars(axes, heights, index, len(groups), style, label, elinewidth=0.7, capsize=capsize)
    axes.set_xticks(
        range(len(names)),
        [plain_text(name.replace("_", " "), 20) for name in names],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set(ylim=(0, 1), ylabel=metric("accuracy").title, xlim=(-0.6, clusters - 0.4))
    percent_ticks(axes)
    axes.grid(False, axis="x")


@figure(
    "Change of accuracy by SD-Dropout under each corruption",
    caption="""Change of accuracy in percentage points relative to the same method without
    SD-Dropout, mean over the severities of each corruption; right of zero SD-Dropout is better.
    Bars: Welch's 95 % interval over seeds of each difference by itself, none if a side has a single
    network. Filled if significant: the interval excludes zero, and the p-value, Holm–Bonferroni-
    adjusted over all differences of the figure, is at most .05.""",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_differences(
    results: pandas.DataFrame, arrays: RunArrays | None = None
) -> Figure | None:
    """Draw a line per corruption, with a marker per pair of groups."""
    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    pairs = baselines(rows)
    if rows.empty or not pairs:
        return None
    names = benchmark_order(rows["corruption"])
    labels = [plain_text(name.replace("_", " "), 22) for name in names]
    styles = styles_of(results)
    line = 0.17 + 0.05 * (len(pairs) - 1)
    figure, axes = single_panel(line * len(names) + 0.55)
    axes.set_yticks(range(len(names)), labels)
    for index, ((group, base), changes) in enumerate(differences(rows, pairs).items()):
        shift = offset(index, len(pairs), 0.7)
        known = {
            y: (names_label, changes[name])
            for y, (name, names_label) in enumerate(zip(names, labels, strict=True))
            if name in changes
        }
        label = f"{plain_text(group, 26)} against {plain_text(base, 20)}"
        _markers(axes, known, shift, styles[group], label)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.set(xlabel="Change of accuracy (points)", ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.05)
    legend(figure, axes.get_legend_handles_labels(), "upper")
    return figure


def differences(
    rows: pandas.DataFrame, pairs: Mapping[str, str]
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Return each group minus its base in points, for each corruption that both have.

    `pairs` maps groups to bases. P-values are adjusted over all differences.
    """
    values = {
        group: {str(name): 100 * value for name, value in of_group.groupby("corruption")["value"]}
        for group, of_group in rows.groupby("group")
    }
    keys = [(pair, name) for pair in pairs.items() for name in values[pair[1]]]
    keys = [(pair, name) for pair, name in keys if name in values[pair[0]]]
    changes = adjust([difference(values[b][name], values[g][name]) for (g, b), name in keys])
    by_pair: dict[tuple[str, str], dict[str, Difference]] = {pair: {} for pair in pairs.items()}
    for (pair, name), change in zip(keys, changes, strict=True):
        by_pair[pair][name] = change
    return by_pair


def _markers(
    axes: Axes,
    changes: dict[int, tuple[str, Difference]],
    shift: float,
    style: GroupStyle,
    label: str,
) -> None:
    """Draw a marker and an interval per line; only the first has a label for the legend."""
    for index, (y, (name, change)) in enumerate(changes.items()):
        known = not math.isnan(change.low)
        bars = axes.errorbar(
            [change.value],
            [y + shift],
            xerr=[[change.value - change.low], [change.high - change.value]] if known else None,
            color=style.colour,
            marker=style.marker,
            markerfacecolor=style.colour if change.verdict in ("higher", "lower") else "white",
            linestyle="none",
            elinewidth=0.9,
            markersize=4,
            label=f"_{label}" if index else label,
        )
        text = f"{label}, {name}: {_formatted(change)}"
        set_mark_text(bars.lines[0], lambda _, text=text: text)  # type: ignore[misc]


def _formatted(change: Difference) -> str:
    accuracy = metric("accuracy")
    value, low, high = (end / 100 for end in (change.value, change.low, change.high))
    text = format_difference(accuracy, value)
    if not math.isnan(low):
        interval = format_interval(accuracy, low, high, sign=True)
        text += f" ({100 * change.level:g} % interval {interval})"
    return text
