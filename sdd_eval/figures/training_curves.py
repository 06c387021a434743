"""Curves of the gradient study during training: the paper's assumptions, and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import (
    epoch_lines,
    filled_and_hollow,
    legend,
    panel_grid,
    percent_ticks,
)
from sdd_eval.figures.selection import where

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "Assumptions 1 and 2 during training",
    caption="""Predictions p and q under two dropout masks, over the classes and images of a fixed
    batch. First panel: how often Assumption 1 holds (filled: the larger of p and q has the larger
    gradient) and Assumption 2 (hollow: r is at most r₁). Second panel: means of r = |log(p/q)|
    (filled) and of its bound r₁ (hollow). Whiskers: one standard deviation over seeds.""",
    evaluator="history",
    metrics=("p_assumption_1", "assumption_2", "assumption_2_r", "assumption_2_r1"),
)
def assumption_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw rates and means against the epoch, with a line per group (section 3.3 of the paper)."""
    rows = where(results, evaluator="history")
    if where(rows, metric="p_assumption_1").empty:
        return None
    figure, rates, means = _epoch_panels()
    epoch_lines(rates, rows, "p_assumption_1", results, hollow=False, label=", Assumption 1")
    epoch_lines(rates, rows, "assumption_2", results, hollow=True, label=", Assumption 2")
    epoch_lines(means, rows, "assumption_2_r", results, hollow=False)
    epoch_lines(means, rows, "assumption_2_r1", results, hollow=True, label=", r₁")
    rates.set(title="Assumption 1 and Assumption 2 hold", ylim=(0, 1.02))
    means.set(title="r and r₁ (nats)")
    percent_ticks(rates)
    means.set_ylim(bottom=0)
    labelled = zip(*means.get_legend_handles_labels(), strict=True)
    groups = [entry for entry in labelled if not entry[1].endswith(", r₁")]
    fills = zip(filled_and_hollow(), ("Assumption 1, r", "Assumption 2, r₁"), strict=True)
    handles, labels = zip(*groups, *fills, strict=True)
    legend(figure, (handles, labels))
    return figure


#: The value of `layer` of gradients with respect to all parameters.
ALL_LAYERS = "all"


@figure(
    "Gradients of forward and reverse KL during training",
    caption="""Gradients of the SD-Dropout term with respect to all parameters, on a fixed batch
    with fixed masks (the paper's Figure 4). First panel: cosine similarity of the gradients of
    forward and reverse KL. Second panel: their L1 norms, reverse filled and forward hollow.
    Whiskers: one standard deviation over seeds.""",
    evaluator="history",
    metrics=("kl_cosine", "kl_forward_l1", "kl_reverse_l1"),
)
def gradient_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw cosine similarity and L1 norms against the epoch, with a line per group."""
    rows = where(results, evaluator="history", layer=ALL_LAYERS)
    if rows.empty:
        return None
    figure, cosine, norms = _epoch_panels()
    epoch_lines(cosine, rows, "kl_cosine", results, hollow=False)
    epoch_lines(norms, rows, "kl_reverse_l1", results, hollow=False, label=", reverse")
    epoch_lines(norms, rows, "kl_forward_l1", results, hollow=True, label=", forward")
    cosine.set(title="Cosine similarity of the gradients")
    cosine.set_ylim(top=1.02)
    norms.set(title="L1 norm of the gradient")
    norms.set_ylim(bottom=0)
    handles, labels = cosine.get_legend_handles_labels()
    legend(figure, ([*handles, *filled_and_hollow()], [*labels, "reverse KL", "forward KL"]))
    return figure


def _epoch_panels() -> tuple[Figure, Axes, Axes]:
    from matplotlib.ticker import MaxNLocator

    grid = panel_grid(2)
    figure, panels = grid.figure(0.2 + 2.2 * grid.rows)
    for axes in panels:
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    first, second = panels
    return figure, first, second
