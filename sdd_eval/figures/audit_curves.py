"""The gradient-masking audit of a network: accuracy under each attack and in the worst case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import label_rows, legend, panel_grid, percent_ticks
from sdd_eval.figures.selection import distinct_numbers, group_names, spreads, where
from sdd_eval.figures.series import mean_line
from sdd_eval.figures.style import COLOURS, INK, MARKERS, PAGE, plain_text
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "Gradient-masking audit",
    caption="""Accuracy under each attack of the audit, and under the worst of them for each image
    (thick), against the radius ε of the ball (L∞, pixels of [0, 1]; logarithmic); one panel per
    group, mean over its networks, logits at temperature 1. A weaker attack below a stronger one
    indicates masked gradients; the titles list the flags raised.""",
    evaluator="attack",
    metrics=("audit_accuracy", "audit_worst_case", "audit_flag"),
)
def audit_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per group, with a line per attack."""
    rows = where(results, evaluator="attack", temperature=1.0)
    rows = rows[rows["metric"].isin(("audit_accuracy", "audit_worst_case"))]
    if rows.empty:
        return None
    groups = group_names(rows)
    attacks = list(dict.fromkeys(where(rows, metric="audit_accuracy")["attack"]))
    grid = panel_grid(len(groups), narrow=1 if len(groups) <= 3 else 2)
    figure, panels = grid.figure(min(2.4 * grid.rows, PAGE - 0.6), sharex=True, sharey=True)
    for axes, group in zip(panels.flat, groups, strict=False):
        _panel(axes, where(rows, group=group), attacks)
        axes.set_title(_title(results, group, round(11 * grid.panel_width)))
    first, radii = panels[0, 0], distinct_numbers(rows, "epsilon")
    first.set(xscale="log", ylim=(-0.02, 1.03))
    first.set_xticks(radii, [_radius(radius) for radius in radii], minor=False)
    first.set_xticks([], minor=True)
    percent_ticks(first)
    for axes in panels.flat[: len(groups)]:
        axes.set_xlabel("ε · 255")
        axes.fmt_xdata, axes.fmt_ydata = _radius, first.fmt_ydata
        axes.label_outer()
    label_rows(panels, metric("accuracy").title)
    legend(figure, first.get_legend_handles_labels())
    return figure


def _radius(epsilon: float) -> str:
    return f"{255 * epsilon:g}"


def _title(results: pandas.DataFrame, group: str, longest: int) -> str:
    flags = where(results, evaluator="attack", metric="audit_flag", group=group)
    raised = dict.fromkeys(str(flag) for flag in flags[flags["value"] > 0]["flag"])
    words = ", ".join(raised).replace("_", " ") or "no flag raised"
    return f"{plain_text(group, longest)}\n{plain_text(words, longest)}"


def _panel(axes: Axes, rows: pandas.DataFrame, attacks: list[str]) -> None:
    for index, attack in enumerate(attacks):
        values = spreads(where(rows, metric="audit_accuracy", attack=attack), "epsilon")
        mean_line(
            axes,
            values,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linewidth=0.9,
            markersize=3.2,
            label=plain_text(attack, 24),
        )
    values = spreads(where(rows, metric="audit_worst_case"), "epsilon")
    line = {"linewidth": 2.2, "linestyle": "--", "marker": "_", "zorder": 1.5}
    mean_line(axes, values, color=INK, label="worst case", **line)
