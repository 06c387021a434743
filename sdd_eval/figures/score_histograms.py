"""How the detector's scores of test images and of outliers lie apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import LETTER, legend
from sdd_eval.figures.ood_curves import detection_rows, outlier_sets, scores_of, setting
from sdd_eval.figures.selection import group_names, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How many bars are in a panel.
BARS = 30
#: How high a line of panels is, in inches: usually, and at least where there are many.
HIGH, LOW = 1.45, 0.62


@figure(
    "Scores of test images and of outliers",
    caption="Distribution of the detector's score over the test images (filled) and over each "
    "outlier set (outlined), for the network of the lowest seed of each group. The dashed line is "
    "the threshold that 95 % of the test images reach; outliers to its right are taken for test "
    "images. The outermost half percent on either side is drawn in the outermost bars.",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def score_histograms(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A row a group, a column an outlier set."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import PAGE, looks, plain, room

    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets, groups = outlier_sets(rows), group_names(rows)
    style = looks(group_names(results), with_sd_dropout(results))
    width, columns, blocks = room(len(sets), wide=6, narrow=2)
    dense = HIGH * len(groups) * blocks > PAGE - 1
    if dense:  # the names of the groups stand above their lines, which are lower
        width, columns, blocks = room(len(sets), wide=6, narrow=6)
    high = min(HIGH, max(LOW, (PAGE - 1) / (len(groups) * blocks)))
    drawn = Figure(figsize=(width, high * len(groups) * blocks + 0.45), layout="constrained")
    grid = drawn.subplots(len(groups) * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (group, block) in enumerate((g, b) for g in groups for b in range(blocks)):
        network = _first_seed(where(rows, group=group))
        for axes, outliers in zip(grid[line], sets[block * columns :], strict=False):
            _panel(axes, where(network, outliers=outliers), arrays, style[group].colour)
            few_ticks(axes, width / columns)
            axes.set_label(f"{plain(group)}, {plain(outliers)}")
            if line == 0 or (blocks > 1 and not dense):
                name = plain(outliers, round(14 * width / columns))
                axes.set_title(name, pad=11 if dense else 3)
        _name(grid[line][0], plain(group, 40), dense)
    handles, labels = _legend()
    legend(drawn, handles, labels, "upper")
    drawn.supxlabel(f"Score ({setting(rows)})", fontsize=8)
    return drawn


def _legend() -> tuple[list[Any], list[str]]:
    """What is what, in no group's colour."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from sdd_eval.figures.style import INK, MUTED

    handles = [
        Patch(color="#b0b0b0"),
        Line2D([], [], color=INK, linewidth=1.1),
        Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8),
    ]
    return handles, ["Test images", "Outliers", "95 % of the test images lie to the right"]


def _first_seed(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows of one network: the lowest seed, or the first name where seeds are unknown."""
    ordered = rows.sort_values(["seed", "checkpoint"], na_position="last")
    return where(rows, checkpoint=ordered["checkpoint"].iloc[0])


def _name(axes: Axes, group: str, dense: bool) -> None:
    """The group beside its first panel; above it where that is too low for it."""
    if not dense:
        axes.set_ylabel(group.replace(" + ", "\n+ "), fontsize=7)
        return
    if not axes.get_title():
        axes.set_title(" ", fontsize=7, pad=2)  # room for the name, which is wider than the panel
    name = axes.annotate(
        group, (0, 1), (0, 2), "axes fraction", textcoords="offset points", fontsize=7
    )
    name.set_in_layout(False)


def _panel(axes: Axes, rows: pandas.DataFrame, arrays: Arrays, colour: str) -> None:
    """One network against one outlier set."""
    from sdd_eval.figures.style import INK, MUTED

    if rows.empty:
        return
    axes.set_axis_on()
    inside, outside = scores_of(rows.iloc[0].to_dict(), arrays)
    low, high = np.percentile(np.concatenate([inside, outside]), [0.5, 99.5]).tolist()
    if low == high:
        low, high = low - 1, high + 1
    looks: tuple[dict[str, Any], ...] = (
        {"label": "test images", "fill": True, "color": colour, "alpha": 0.5},
        {"label": "outliers", "color": INK, "linewidth": 1.1},
    )
    for scores, look in zip((inside, outside), looks, strict=True):
        counts, edges = np.histogram(np.clip(scores, low, high), BARS, range=(low, high))
        axes.stairs(counts / len(scores), edges, **look)
    axes.set_ylim(bottom=0)
    axes.fmt_ydata = lambda share: f"{100 * share:.1f} %"
    digits = max(0, 2 - math.floor(math.log10(high - low)))
    axes.fmt_xdata = lambda score: f"{score:.{digits}f}"
    threshold = np.sort(inside)[len(inside) - math.ceil(0.95 * len(inside))]
    axes.axvline(threshold, color=MUTED, linestyle="--", linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.grid(False)


def few_ticks(axes: Axes, width: float) -> None:
    """Up to three ticks with just enough digits: scores at T = 1000 differ in the fourth.

    None where a panel is so narrow, in inches, that not even two have room.
    """
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    most = 0 if width < 1 else 2 if width < 1.6 else 3
    ticks = MaxNLocator(most).tick_values(low, high) if most else []
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    named = [(tick, f"{tick:.{digits}f}") for tick in ticks if low <= tick <= high]
    wide = sum(LETTER * len(name) + 8 for _, name in named)
    if wide < 72 * width:
        axes.set_xticks([tick for tick, _ in named], [name for _, name in named])
    elif most:
        _ticks_at_the_ends(axes, digits)


def _ticks_at_the_ends(axes: Axes, digits: int) -> None:
    """One tick near either end, their names inside of the panel: long ones have room nowhere else.

    A single tick would not say how wide the panel is.
    """
    low, high = axes.get_xlim()
    unit = 10.0**-digits
    ends = [math.ceil(low / unit) * unit, math.floor(high / unit) * unit]
    axes.set_xticks(ends, [f"{end:.{digits}f}" for end in ends])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
