"""ROC curves of OOD detection, one panel per OOD set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.ood_curves import RATES, draw_ood_curves
from sdd_eval.figures.style import MUTED
from sdd_eval.metrics.ranking import roc_curve, tpr_at_fpr

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@figure(
    "ROC curves of OOD detection",
    caption="True positive rate (in-distribution images accepted) against false positive rate (OOD "
    "images accepted), averaged over seeds at each false positive rate. The thin horizontal line "
    "is a true positive rate of 95 %, the dotted one chance. The AUROC, mean and standard "
    "deviation over seeds, is given for up to six groups.",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def roc_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Draw a panel per OOD set, with a line per group."""
    labels = ("False positive rate", "True positive rate")
    return draw_ood_curves(results, arrays, roc_at, ("auroc", "AUROC"), labels, _reference_lines)


def roc_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """Return the true positive rate at each false positive rate of `RATES`."""
    return tpr_at_fpr(*roc_curve(inside, outside), RATES)


def _reference_lines(axes: Axes, rows: pandas.DataFrame) -> None:
    axes.axhline(0.95, color=MUTED, linewidth=0.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
