"""Accuracy under each corruption, averaged over severities, as bars of groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import Grid, legend, panel_grid, percent_ticks
from sdd_eval.figures.selection import benchmark_order, group_names, spreads, where
from sdd_eval.figures.series import group_bars
from sdd_eval.figures.style import GroupStyle, plain_text, styles_of
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    for line, axes in enumerate(panels[:, 0]):
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
