"""How the detector's scores of test images and of outliers lie apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.outlier_scores import detection_rows, outlier_sets, scores_of, setting
from sdd_eval.figures.rows import group_names, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How many bars are in a panel.
BARS = 30


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

    from sdd_eval.figures.style import looks, plain, room

    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets, groups = outlier_sets(rows), group_names(rows)
    style = looks(group_names(results), with_sd_dropout(results))
    width, columns, blocks = room(len(sets), wide=6, narrow=2)
    height = 1.45 * len(groups) * blocks + 0.65
    drawn = Figure(figsize=(width, height), layout="constrained")
    grid = drawn.subplots(len(groups) * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (group, block) in enumerate((g, b) for g in groups for b in range(blocks)):
        network = _first_seed(where(rows, group=group))
        for axes, outliers in zip(grid[line], sets[block * columns :], strict=False):
            _panel(
                axes,
                where(network, outliers=outliers),
                arrays,
                style[group].colour,
                crowded=width / columns < 1.6,
            )
            if blocks > 1 or line == 0:
                axes.set_title(plain(outliers, round(14 * width / columns)), pad=3)
        grid[line][0].set_ylabel(plain(group, 40).replace(" + ", "\n+ "), fontsize=7)
    handles, labels = _legend()
    drawn.legend(
        handles, labels, loc="outside upper center", ncols=room(3, narrow=2)[1], frameon=False
    )
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


def _panel(axes: Axes, rows: pandas.DataFrame, arrays: Arrays, colour: str, crowded: bool) -> None:
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
    _few_ticks(axes, low, high, crowded)
    axes.set_yticks([])
    axes.grid(False)


def _few_ticks(axes: Axes, low: float, high: float, crowded: bool) -> None:
    """Up to three ticks with just enough digits: scores at T = 1000 differ in the fourth."""
    from matplotlib.ticker import MaxNLocator

    ticks = [
        tick
        for tick in MaxNLocator(2 if crowded else 3).tick_values(low, high)
        if low <= tick <= high
    ]
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [f"{tick:.{digits}f}" for tick in ticks])
