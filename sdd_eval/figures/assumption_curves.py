"""How often Assumptions 1 and 2 of the paper hold during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend, panel_grid, percent_ticks
from sdd_eval.figures.selection import where
from sdd_eval.figures.series import epoch_lines, filled_and_hollow

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@figure(
    "Assumptions 1 and 2 during training",
    caption="Predictions p and q under two dropout masks, over the classes and images of a fixed "
    "batch. First panel: how often Assumption 1 holds (filled: the larger of p and q has the "
    "larger gradient) and Assumption 2 (hollow: r is at most r₁). Second panel: means of "
    "r = |log(p/q)| (filled) and of its bound r₁ (hollow). Whiskers: one standard deviation over "
    "seeds.",
    evaluator="history",
    metrics=("p_assumption_1", "assumption_2", "assumption_2_r", "assumption_2_r1"),
)
def assumption_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Draw rates and means against the epoch, with a line per group (section 3.3 of the paper)."""
    from matplotlib.ticker import MaxNLocator

    rows = where(results, evaluator="history")
    if where(rows, metric="p_assumption_1").empty:
        return None
    grid = panel_grid(2)
    figure, panels = grid.figure(0.2 + 2.2 * grid.rows)
    rates, means = panels.flat
    epoch_lines(rates, rows, "p_assumption_1", results, hollow=False, label=", Assumption 1")
    epoch_lines(rates, rows, "assumption_2", results, hollow=True, label=", Assumption 2")
    epoch_lines(means, rows, "assumption_2_r", results, hollow=False)
    epoch_lines(means, rows, "assumption_2_r1", results, hollow=True, label=", r₁")
    rates.set(title="Assumption 1 and Assumption 2 hold", ylim=(0, 1.02))
    means.set(title="r and r₁ (nats)")
    percent_ticks(rates)
    means.set_ylim(bottom=0)
    for axes in (rates, means):
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    labelled = zip(*means.get_legend_handles_labels(), strict=True)
    groups = [each for each in labelled if not each[1].endswith(", r₁")]
    fills = zip(filled_and_hollow(), ("Assumption 1, r", "Assumption 2, r₁"), strict=True)
    handles, labels = zip(*groups, *fills, strict=True)
    legend(figure, (handles, labels))
    return figure
