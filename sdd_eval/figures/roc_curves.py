"""ROC curves of the detector, one panel an outlier set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.outlier_scores import detection_rows, outlier_sets, scores_of, setting
from sdd_eval.figures.rows import group_names, mean_and_std, spreads, where, with_sd_dropout
from sdd_eval.statistics.curves import at_rates, roc

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: How many panels stand side by side, and the false positive rates at which curves are averaged.
COLUMNS, RATES = 3, np.linspace(0, 1, 201)


@figure(
    "ROC curves against outliers",
    caption="True positive rate (test images kept) against false positive rate (outliers kept), "
    "averaged over seeds at each false positive rate. The thin horizontal line is 95 % of the test "
    "images; the legend gives the AUROC, mean and standard deviation over seeds.",
    evaluator="odin",
    metrics=("auroc", "fpr_at_95_tpr", "aupr_in", "aupr_out"),
)
def roc_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel an outlier set, a line a group."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import DOUBLE, SINGLE, looks, plain

    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets = outlier_sets(rows)
    columns = min(COLUMNS, len(sets))
    lines = math.ceil(len(sets) / columns)
    width = SINGLE if columns == 1 else DOUBLE
    drawn = Figure(figsize=(width, 2.45 * lines + 0.35), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    style = looks(group_names(results), with_sd_dropout(results))
    for axes in grid.flat[len(sets) :]:
        axes.set_axis_off()
    for axes, outliers in zip(grid.flat, sets, strict=False):
        _panel(axes, where(rows, outliers=outliers), arrays, style)
        axes.set_title(plain(outliers, 28))
    for axes in grid.flat[max(0, len(sets) - columns) : len(sets)]:
        axes.tick_params(labelbottom=True)  # nothing is drawn below it
    for axes in grid[:, 0]:
        axes.set_ylabel("True positive rate")
    drawn.supxlabel(f"False positive rate ({setting(rows)})", fontsize=8)
    named: dict[str, Any] = {}
    for group in group_names(rows):
        named[plain(group)] = _handle(style[group])
    drawn.legend(
        list(named.values()), list(named), loc="outside upper center", ncols=3, frameon=False
    )
    return drawn


def _handle(look: Any) -> Any:
    """A line for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, linestyle=look.line)


def _panel(axes: Axes, rows: pandas.DataFrame, arrays: Arrays, style: dict[str, Any]) -> None:
    """The curves against one outlier set."""
    from sdd_eval.figures.style import MUTED

    axes.axhline(0.95, color=MUTED, linewidth=0.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
    areas = spreads(rows, "group")
    for group in group_names(rows):
        curve = mean_curve(where(rows, group=group), arrays)
        axes.plot(
            RATES,
            curve,
            color=style[group].colour,
            linestyle=style[group].line,
            label=mean_and_std(areas[group]),
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.legend(title="AUROC", title_fontsize=7, loc="lower right", handlelength=1.6)


def mean_curve(rows: pandas.DataFrame, arrays: Arrays) -> NDArray[np.float64]:
    """The mean true positive rate at `RATES` over the networks of the rows."""
    curves = [at_rates(*roc(*scores_of(row, arrays)), RATES) for row in rows.to_dict("records")]
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean
