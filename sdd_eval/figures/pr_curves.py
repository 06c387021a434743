"""Precision–recall curves of the detector, one panel an outlier set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.ood_curves import PLACES, outlier_curves
from sdd_eval.metrics.ranking import precision_at_recall, precision_recall_curve

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@figure(
    "Precision and recall against outliers",
    caption="Share of test images among all images kept (precision) against the share of test "
    "images kept (recall), averaged over seeds at each recall; test images are positive and counts "
    "are those of the sets. No line is drawn between two thresholds: precision is that of the next "
    "threshold that reaches the recall, so that the area below is the average precision (AUPR-in), "
    "which of few groups each panel gives. The thin line is what chance alone gives.",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def pr_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel an outlier set, a line a group (Davis and Goadrich 2006)."""

    def backdrop(axes: Axes, rows: pandas.DataFrame) -> None:
        _chance(axes, rows, arrays or {})

    labels = ("Recall", "Precision")
    return outlier_curves(results, arrays, pr_at, ("aupr_in", "AUPR-in"), labels, backdrop)


def pr_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """The precision at each recall of `PLACES`."""
    return precision_at_recall(*precision_recall_curve(inside, outside), PLACES)


def _chance(axes: Axes, rows: pandas.DataFrame, arrays: Arrays) -> None:
    """The share of test images among all."""
    from sdd_eval.figures.ood_curves import scores_of
    from sdd_eval.figures.style import MUTED

    inside, outside = scores_of(rows.iloc[0].to_dict(), arrays)
    share = len(inside) / (len(inside) + len(outside))
    axes.axhline(share, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
