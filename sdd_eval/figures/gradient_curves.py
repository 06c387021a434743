"""Forward and reverse KL during training: how alike their gradients are, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.lines import epoch_lines, filled_and_hollow
from sdd_eval.figures.selection import where

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The layer that stands for all parameters.
WHOLE = "all"

PANELS = {
    "kl_cosine": "Cosine of the two gradients",
    "kl_forward_l1": "L1 norm of the gradient",
}


@figure(
    "Gradients of forward and reverse KL during training",
    caption="Of the SD-Dropout term on a fixed batch under fixed masks, by all parameters (the "
    "paper's Figure 4). First their directions: cosine of the gradient of forward KL and that of "
    "reverse KL. Then their lengths: L1 norms, reverse filled and forward hollow. Whiskers: one "
    "standard deviation over seeds.",
    evaluator="history",
    metrics=("kl_cosine", "kl_forward_l1", "kl_reverse_l1"),
)
def gradient_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Cosine and L1 norms against the epoch, a line a group."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from sdd_eval.figures.style import room

    rows = where(results, evaluator="history", layer=WHOLE)
    if rows.empty:
        return None
    width, columns, lines = room(2)
    drawn = Figure(figsize=(width, 0.2 + 2.2 * lines), layout="constrained")
    cosine, norms = drawn.subplots(lines, columns, squeeze=False).flat
    epoch_lines(cosine, rows, "kl_cosine", results, hollow=False)
    epoch_lines(norms, rows, "kl_reverse_l1", results, hollow=False, label=", reverse")
    epoch_lines(norms, rows, "kl_forward_l1", results, hollow=True, label=", forward")
    for axes, title in zip((cosine, norms), PANELS.values(), strict=True):
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    norms.set_ylim(bottom=0)
    handles, labels = cosine.get_legend_handles_labels()
    legend(drawn, [*handles, *filled_and_hollow()], [*labels, "reverse KL", "forward KL"])
    return drawn
