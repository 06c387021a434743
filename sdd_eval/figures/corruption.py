"""Accuracy under corruptions: heat maps, bars, and changes by SD-Dropout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import (
    Grid,
    Interval,
    group_bars,
    interval_markers,
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
from sdd_eval.figures.style import (
    MUTED,
    SMALL,
    GroupStyle,
    group_title,
    plain_text,
    styles_of,
    written_name,
)
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

#: Maximum number of groups whose bars for all corruptions fit one row of one paper column.
FEW_GROUPS = 4
#: Minimum and maximum height of a row, and height of title and ticks, in inches.
ROW_HEIGHTS, MARGINS = (0.14, 0.19), 0.72
#: Maximum number of rows of panels: nobody would read more numbers.
MOST_ROWS = 2
#: The width of a cell, of the space between panels, and of the names of corruptions, in inches.
CELL, GAP, NAMES = 0.147, 0.03, 1.0
#: The width of a cell in inches from which positive differences have a sign.
WITH_SIGN = 0.25
#: The width of a digit, of the font size, and the smallest font size in points.
DIGIT, SMALLEST = 0.64, 5.0


@figure(
    "Accuracy by corruption and severity",
    caption="""Accuracy in percent, mean over seeds; panels marked Δ show the change in percentage
    points relative to the same method without SD-Dropout (positive: SD-Dropout is better). Colours
    span the values shown. If there are too many groups for a page, a column is a group and each
    cell the mean over severities.""",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_heatmap(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per group and one per difference; with many groups, only their means."""
    rows = where(results, evaluator="corruption", metric="accuracy")
    rows = rows[rows["corruption"].notna() & rows["severity"].notna()]
    if rows.empty:
        return None
    missing = where(results, evaluator="corruption", metric="missing", of=None)
    names = benchmark_order([*rows["corruption"], *missing["corruption"]])
    severities = distinct_numbers(rows, "severity")
    cells = {group: cells_of(rows, group, names, severities) for group in group_names(rows)}
    changes = {group: cells[group] - cells[base] for group, base in baselines(rows).items()}
    width = panel_grid(1).width
    columns = max(1, int((width - NAMES) / (CELL * len(severities) + GAP)))
    grid = panel_grid(len(cells) + len(changes), columns, columns)
    height = (grid.highest / grid.rows - MARGINS) / len(names)
    if height < ROW_HEIGHTS[0] or grid.rows > MOST_ROWS:
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


@dataclass(frozen=True)
class Scale:
    """The colour limits of some panels, what they show, and how cells are formatted.

    `digits` are decimals of differences, `width` is that of a cell in inches.
    """

    low: float
    high: float
    width: float
    is_change: bool = False
    digits: int = 0

    def cell(self, value: float) -> str:
        """Format a value in its cell; a difference has a sign, in a narrow one only if negative."""
        if not self.is_change:
            return f"{value:.0f}"
        sign = "+" if self.width >= WITH_SIGN else "-"
        text = f"{value:{sign}.{self.digits}f}".replace("-", "−")
        return text if round(value, self.digits) else "0"

    def font_size(self, text: str) -> float:
        """Return the size in points at which a text fits a cell, at least `SMALLEST`."""
        return max(SMALLEST, min(SMALL, 0.9 * 72 * self.width / (DIGIT * len(text))))

    def tooltip(self, value: float) -> str:
        """Format a value with its unit."""
        return f"{value:+.1f} points".replace("-", "−") if self.is_change else f"{value:.1f} %"


def _accuracy_scale(tables: Iterable[Cells], width: float) -> Scale:
    values = np.concatenate([cells.ravel() for cells in tables])
    low = float(np.nanmin(values))
    return Scale(low, max(float(np.nanmax(values)), low + 1), width)


def _change_scale(tables: Iterable[Cells], width: float, roomy: bool) -> Scale:
    highest = max((float(np.nanmax(np.abs(cells))) for cells in tables), default=0.0)
    limit = max(1.0, highest)
    return Scale(-limit, limit, width, is_change=True, digits=int(roomy and limit < 10))


def _by_severity(
    grid: Grid,
    cells: Mapping[str, Cells],
    changes: Mapping[str, Cells],
    names: list[str],
    severities: list[float],
    row_height: float,
) -> Figure:
    """Draw corruption × severity, with a panel per group and one per difference."""
    delta = "Δ {}" if len(cells) > 2 else "Δ with SD-Dropout"
    width = ((grid.width - NAMES) / grid.columns - GAP) / len(severities)
    accuracy = _accuracy_scale(cells.values(), width)
    change = _change_scale(changes.values(), width, roomy=grid.panel_width >= 2)
    panels = [(group, values, accuracy) for group, values in cells.items()]
    panels += [(delta.format(group), values, change) for group, values in changes.items()]
    height = (row_height * len(names) + MARGINS) * grid.rows
    figure, drawn = grid.figure(height, sharex=True, sharey=True)
    for axes, (title, values, scale) in zip(drawn, panels, strict=True):
        _panel(axes, values, scale)
        axes.set_title(_title(title, grid.panel_width))
    drawn[0].set_xticks(np.arange(len(severities)) + 0.5, [f"{value:g}" for value in severities])
    _label_rows(drawn[0], names)
    grid.label(drawn, "Severity")
    return figure


def _title(title: str, width: float) -> str:
    """Return a title, on several lines if it is wider than a panel."""
    longest = max(8, round(13 * width))
    if title.startswith("Δ with") and len(title) > longest:
        return "Δ"
    return group_title(title, longest)


def _by_group(cells: Mapping[str, Cells], changes: Mapping[str, Cells], names: list[str]) -> Figure:
    """Draw corruption × group with means over severities, and the differences."""
    tables = [("Mean over severities", _means(cells)), ("Δ with SD-Dropout", _means(changes))]
    ratios = [len(table) for _, table in tables if table]
    grid = panel_grid(len(ratios), narrow=2)
    width = (grid.width - NAMES) / sum(ratios)
    scales = [_accuracy_scale(_means(cells).values(), width)]
    scales.append(_change_scale(_means(changes).values(), width, roomy=False))
    figure, panels = grid.figure(4.2, sharey=True, width_ratios=ratios)
    for axes, (title, table), scale in zip(panels, tables, scales, strict=False):
        _panel(axes, np.stack(list(table.values()), axis=1), scale)
        axes.set_title(_title(title, grid.width * len(table) / (sum(ratios) + 4)))
        labels = [plain_text(group, 28) for group in table]
        axes.set_xticks(np.arange(len(table)) + 0.5, labels, rotation=90)
    _label_rows(panels[0], names)
    return figure


def _means(tables: Mapping[str, Cells]) -> dict[str, Cells]:
    return {group: cells.mean(axis=1) for group, cells in tables.items()}


def _label_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)) + 0.5, [written_name(name, 22) for name in names])


def _panel(axes: Axes, values: Cells, scale: Scale) -> None:
    """Draw a heat map with its numbers."""
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap="PuOr" if scale.is_change else "cividis",
        vmin=scale.low,
        vmax=scale.high,
        edgecolors="white",
        linewidth=0.4,
        snap=True,
    )
    set_mark_text(mesh, scale.tooltip)
    mesh.update_scalarmappable()
    shades = np.asarray(mesh.get_facecolor(), dtype=float).reshape(*values.shape, 4)[..., :3]
    dark = shades @ (0.299, 0.587, 0.114) < 0.5
    for (row, column), value in np.ndenumerate(values):
        known = not math.isnan(value)
        text = scale.cell(value) if known else "–"
        cell = axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            fontsize=scale.font_size(text),
            color="#fefefe" if known and dark[row, column] else "#010101",
        )
        cell.set_in_layout(False)  # it is inside the panel
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0))
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@figure(
    "Accuracy under corruption",
    caption="""Mean accuracy over the severities of each corruption, averaged over seeds; whiskers:
    one standard deviation over seeds.""",
    evaluator="corruption",
    metrics=("accuracy",),
    repeats="corruption_heatmap",
)
def corruption_bars(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a cluster of bars per corruption; many groups need two rows in one column of a paper."""
    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    if rows.empty:
        return None
    names = benchmark_order(rows["corruption"])
    many = len(group_names(rows)) > FEW_GROUPS
    lines = min(panel_grid(2).rows, len(names)) if many else 1
    figure, panels = Grid(lines, panel_grid(1).width, 1).figure(0.3 + 2.3 * lines, sharey=True)
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
        [written_name(name, 20) for name in names],
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
    network. Filled if significant: the interval excludes zero, and the p-value, adjusted over all
    differences of the figure (Holm–Bonferroni), is at most .05.""",
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
    labels = [written_name(name, 22) for name in names]
    styles = styles_of(results)
    line = 0.17 + 0.05 * (len(pairs) - 1)
    figure, axes = single_panel(line * len(names) + 0.55)
    axes.set_yticks(range(len(names)), labels)
    for index, ((group, base), changes) in enumerate(differences(rows, pairs).items()):
        shift = offset(index, len(pairs), 0.7)
        label = f"{plain_text(group, 26)} against {plain_text(base, 20)}"
        marks = [
            Interval(
                *(y + shift, changes[name].value, changes[name].low, changes[name].high),
                text=f"{label}, {labels[y]}: {_formatted(changes[name])}",
                filled=changes[name].verdict in ("higher", "lower"),
            )
            for y, name in enumerate(names)
            if name in changes
        ]
        interval_markers(axes, marks, styles[group], label)
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


def _formatted(change: Difference) -> str:
    accuracy = metric("accuracy")
    value, low, high = (end / 100 for end in (change.value, change.low, change.high))
    text = format_difference(accuracy, value)
    if not math.isnan(low):
        interval = format_interval(accuracy, low, high, sign=True)
        text += f" ({100 * change.level:g} % interval {interval})"
    return text
