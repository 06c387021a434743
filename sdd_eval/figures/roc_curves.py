"""ROC curves of the detector, one panel an outlier set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.ood_curves import PLACES, outlier_curves
from sdd_eval.metrics.ranking import roc_curve, tpr_at_fpr

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@figure(
    "ROC curves against outliers",
    caption="True positive rate (test images kept) against false positive rate (outliers kept), "
    "averaged over seeds at each false positive rate. The thin horizontal line is 95 % of the test "
    "images. Of few groups each panel gives the AUROC, mean and standard deviation over "
    "seeds.",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def roc_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel an outlier set, a line a group."""
    labels = ("False positive rate", "True positive rate")
    return outlier_curves(results, arrays, roc_at, ("auroc", "AUROC"), labels, _backdrop)


def roc_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """The true positive rate at each false positive rate of `PLACES`."""
    return tpr_at_fpr(*roc_curve(inside, outside), PLACES)


def _backdrop(axes: Axes, rows: pandas.DataFrame) -> None:
    """95 % of the test images, and what chance alone gives."""
    from sdd_eval.figures.style import MUTED

    axes.axhline(0.95, color=MUTED, linewidth=0.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
