"""Direction and length of the gradients of forward and reverse KL during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend, panel_grid
from sdd_eval.figures.selection import where
from sdd_eval.figures.series import epoch_lines, filled_and_hollow

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The value of `layer` of gradients with respect to all parameters.
ALL_LAYERS = "all"


@figure(
    "Gradients of forward and reverse KL during training",
    caption="Gradients of the SD-Dropout term with respect to all parameters, on a fixed batch "
    "with fixed masks (the paper's Figure 4). First panel: cosine similarity of the gradients of "
    "forward and reverse KL. Second panel: their L1 norms, reverse filled and forward hollow. "
    "Whiskers: one standard deviation over seeds.",
    evaluator="history",
    metrics=("kl_cosine", "kl_forward_l1", "kl_reverse_l1"),
)
def gradient_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Draw cosine similarity and L1 norms against the epoch, with a line per group."""
    from matplotlib.ticker import MaxNLocator

    rows = where(results, evaluator="history", layer=ALL_LAYERS)
    if rows.empty:
        return None
    grid = panel_grid(2)
    figure, panels = grid.figure(0.2 + 2.2 * grid.rows)
    cosine, norms = panels.flat
    epoch_lines(cosine, rows, "kl_cosine", results, hollow=False)
    epoch_lines(norms, rows, "kl_reverse_l1", results, hollow=False, label=", reverse")
    epoch_lines(norms, rows, "kl_forward_l1", results, hollow=True, label=", forward")
    cosine.set(title="Cosine similarity of the gradients")
    norms.set(title="L1 norm of the gradient")
    for axes in (cosine, norms):
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    norms.set_ylim(bottom=0)
    handles, labels = cosine.get_legend_handles_labels()
    legend(figure, ([*handles, *filled_and_hollow()], [*labels, "reverse KL", "forward KL"]))
    return figure
