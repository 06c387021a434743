"""The audit of a network: each attack's accuracy and the worst case, at six sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import distinct_numbers, group_names, spreads, where

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "Audit: may a gain in robustness be believed?",
    caption="Share of images still right under each attack of the audit, and under the worst of "
    "them image by image (thick), against the size ε of the ball (L∞, pixels of [0, 1]; a step to "
    "the right doubles it); a panel a group, mean over its networks, logits at temperature 1. "
    "Where a weaker attack lies below a stronger one the network hides its gradients; raised flags "
    "stand in the title.",
    evaluator="attack",
    metrics=("audit_accuracy", "audit_worst_case", "audit_flag"),
)
def audit_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel a group, a line an attack."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import PAGE, percent, room

    rows = where(results, evaluator="attack", temperature=1.0)
    rows = rows[rows["metric"].isin(("audit_accuracy", "audit_worst_case"))]
    if rows.empty:
        return None
    groups = group_names(rows)
    attacks = list(dict.fromkeys(where(rows, metric="audit_accuracy")["attack"]))
    width, columns, lines = room(len(groups), narrow=1 if len(groups) <= 3 else 2)
    height = min(2.4 * lines, PAGE - 0.6)
    drawn = Figure(figsize=(width, height), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(groups) :]:
        axes.set_axis_off()
    for axes, group in zip(grid.flat, groups, strict=False):
        _panel(axes, where(rows, group=group), attacks)
        axes.set_title(_title(results, group, round(11 * width / columns)))
    sizes = distinct_numbers(rows, "epsilon")
    grid[0, 0].set(xscale="log", ylim=(-0.02, 1.03))
    grid[0, 0].set_xticks(sizes, [f"{255 * size:g}" for size in sizes], minor=False)
    grid[0, 0].set_xticks([], minor=True)
    percent(grid[0, 0])
    for axes in grid.flat[: len(groups)]:
        axes.set_xlabel("ε · 255")
        axes.fmt_xdata, axes.fmt_ydata = _size, grid[0, 0].fmt_ydata
        axes.label_outer()
    for axes in grid[:, 0]:
        axes.set_ylabel("Accuracy")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend(drawn, handles, labels)
    return drawn


def _size(epsilon: float) -> str:
    return f"{255 * epsilon:g}"


def _title(results: pandas.DataFrame, group: str, longest: int) -> str:
    """The group, and what the audit found of its gradients."""
    from sdd_eval.figures.style import plain

    flags = where(results, evaluator="attack", metric="audit_flag", group=group)
    raised = dict.fromkeys(str(flag) for flag in flags[flags["value"] > 0]["flag"])
    words = ", ".join(raised).replace("_", " ") or "no flag raised"
    return f"{plain(group, longest)}\n{plain(words, longest)}"


def _panel(axes: Axes, rows: pandas.DataFrame, attacks: list[str]) -> None:
    """The attacks on one group, and the worst case over them."""
    from sdd_eval.figures.style import COLOURS, INK, MARKERS, plain

    for index, attack in enumerate(attacks):
        found = spreads(where(rows, metric="audit_accuracy", attack=attack), "epsilon")
        axes.plot(
            list(found),
            [value.mean for value in found.values()],
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linewidth=0.9,
            markersize=3.2,
            label=plain(attack, 24),
        )
    found = spreads(where(rows, metric="audit_worst_case"), "epsilon")
    axes.plot(
        list(found),
        [value.mean for value in found.values()],
        color=INK,
        linewidth=2.2,
        linestyle="--",
        marker="_",
        zorder=1.5,
        label="worst case",
    )
