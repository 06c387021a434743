"""Precision–recall curves of OOD detection, one panel per OOD set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.ood_curves import RATES, draw_ood_curves, scores_of
from sdd_eval.figures.style import MUTED
from sdd_eval.metrics.ranking import precision_at_recall, precision_recall_curve

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@figure(
    "Precision–recall curves of OOD detection",
    caption="Precision against recall with in-distribution images as the positive class, averaged "
    "over seeds at each recall; class counts are those of the sets. Between two thresholds the "
    "precision is that of the next threshold that reaches the recall, without interpolation, so "
    "that the area is the average precision (AUPR-in), which is given for up to six groups. The "
    "thin line is chance.",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def pr_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Draw a panel per OOD set, with a line per group (Davis and Goadrich 2006)."""

    def draw_chance(axes: Axes, rows: pandas.DataFrame) -> None:
        inside, outside = scores_of(rows.iloc[0].to_dict(), arrays or {})
        prevalence = len(inside) / (len(inside) + len(outside))
        axes.axhline(prevalence, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))

    labels = ("Recall", "Precision")
    area = ("aupr_in", "AUPR-in")
    return draw_ood_curves(results, arrays, pr_at, area, labels, draw_chance)


def pr_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """Return the precision at each recall of `RATES`."""
    return precision_at_recall(*precision_recall_curve(inside, outside), RATES)
