"""Distributions of OOD scores on in-distribution and OOD images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import RunArrays, figure, once
from sdd_eval.figures.layout import LETTER, Grid, legend, panel_grid
from sdd_eval.figures.ood_curves import detection_rows, detector_label, ood_sets, scores_of
from sdd_eval.figures.selection import group_names, where
from sdd_eval.figures.style import INK, MUTED, PAGE, plain_text, styles_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sdd_eval.arrays import Arrays

#: Bins of a histogram.
BINS = 30
#: Greatest and lowest height of a row of panels in inches.
HIGH, LOW = 1.45, 0.62


@figure(
    "Distributions of OOD scores",
    caption="""Distribution of the detector's score on in-distribution images (filled) and on each
    OOD set (outlined), for the network with the lowest seed of each group. The dashed line is the
    threshold at 95 % true positive rate: OOD images to its right are false positives. The outermost
    bins include the half percent beyond them on either side.""",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def score_histograms(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a row per group and a column per OOD set."""
    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets, groups, styles = ood_sets(rows), group_names(rows), styles_of(results)
    grid = panel_grid(len(sets), wide=6, narrow=2)
    dense = HIGH * len(groups) * grid.rows > PAGE - 1
    if dense:  # the labels of groups are above their rows, which are lower
        grid = panel_grid(len(sets), wide=6, narrow=6)
    lines, columns = len(groups) * grid.rows, grid.columns
    height = min(HIGH, max(LOW, (PAGE - 1) / lines))
    whole = Grid(lines * columns, grid.width, columns)
    figure, panels = whole.figure(height * lines + 0.45)
    for axes in panels.flat:
        axes.set_axis_off()
    for line, (group, part) in enumerate((g, p) for g in groups for p in range(grid.rows)):
        by_seed = where(rows, group=group).sort_values(["seed", "checkpoint"], na_position="last")
        network = where(rows, group=group, checkpoint=by_seed["checkpoint"].iloc[0])
        for axes, name in zip(panels[line], sets[part * columns :], strict=False):
            _panel(axes, where(network, outliers=name), arrays, styles[group].colour)
            few_ticks(axes, grid.panel_width)
            axes.set_label(f"{plain_text(group)}, {plain_text(name)}")
            if line == 0 or (grid.rows > 1 and not dense):
                title = plain_text(name, round(14 * grid.panel_width))
                axes.set_title(title, pad=11 if dense else 3)
        _label_group(panels[line][0], plain_text(group, 40), dense)
    legend(figure, _legend(), "upper")
    figure.supxlabel(f"Score ({detector_label(rows)})", fontsize=8)
    return figure


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color="#b0b0b0"),
        Line2D([], [], color=INK, linewidth=1.1),
        Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8),
    ]
    return handles, ["In-distribution", "OOD", "Threshold at 95 % true positive rate"]


def _label_group(axes: Axes, group: str, dense: bool) -> None:
    """Label a row of panels next to its first one, or above it if that is too low."""
    if not dense:
        axes.set_ylabel(group.replace(" + ", "\n+ "), fontsize=7)
        return
    if not axes.get_title():
        axes.set_title(" ", fontsize=7, pad=2)  # reserve the height of the label
    label = axes.annotate(
        group, (0, 1), (0, 2), "axes fraction", textcoords="offset points", fontsize=7
    )
    label.set_in_layout(False)  # it may be wider than the panel


def _panel(axes: Axes, rows: pandas.DataFrame, arrays: RunArrays, colour: str) -> None:
    if rows.empty:
        return
    axes.set_axis_on()
    run, *names = (rows[name].iloc[0] for name in ("run", "detector", "outliers"))
    edges, heights, threshold = once(_histograms, arrays[run], *names)
    low, high = float(edges[0]), float(edges[-1])
    options: tuple[dict[str, Any], ...] = (
        {"label": "in-distribution", "fill": True, "color": colour, "alpha": 0.5},
        {"label": "OOD", "color": INK, "linewidth": 1.1},
    )
    for height, option in zip(heights, options, strict=True):
        axes.stairs(height, edges, **option)
    axes.set_ylim(bottom=0)
    axes.fmt_ydata = lambda fraction: f"{100 * fraction:.1f} %"
    digits = max(0, 2 - math.floor(math.log10(high - low)))
    axes.fmt_xdata = lambda score: f"{score:.{digits}f}"
    axes.axvline(threshold, color=MUTED, linestyle="--", linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.grid(False)


def _histograms(stored: Arrays, *names: str) -> tuple[NDArray[Any], list[NDArray[Any]], float]:
    """Return edges, both histograms, and the threshold at 95 % true positive rate."""
    inside, outside = scores_of(stored, *names)
    low, high = np.percentile(np.concatenate([inside, outside]), [0.5, 99.5]).tolist()
    if low == high:
        low, high = low - 1, high + 1
    heights = []
    for scores in (inside, outside):
        counts, edges = np.histogram(np.clip(scores, low, high), BINS, range=(low, high))
        heights.append(counts / len(scores))
    threshold = np.sort(inside)[len(inside) - math.ceil(0.95 * len(inside))]
    return edges, heights, float(threshold)


def few_ticks(axes: Axes, width: float) -> None:
    """Set up to three ticks that fit a width in inches, with just enough digits to differ."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    most = 0 if width < 1 else 2 if width < 1.6 else 3
    ticks = MaxNLocator(most).tick_values(low, high) if most else []
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    labelled = {tick: f"{tick:.{digits}f}" for tick in ticks if low <= tick <= high}
    if sum(LETTER * len(label) + 8 for label in labelled.values()) < 72 * width:
        axes.set_xticks(list(labelled), list(labelled.values()))
    elif most:
        _end_ticks(axes, digits)


def _end_ticks(axes: Axes, digits: int) -> None:
    """Set a tick near either end with its label inside of the panel, where long labels fit."""
    low, high = axes.get_xlim()
    unit = 10.0**-digits
    ends = [math.ceil(low / unit) * unit, math.floor(high / unit) * unit]
    axes.set_xticks(ends, [f"{end:.{digits}f}" for end in ends])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
