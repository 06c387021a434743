"""The paper's assumptions on the two predictions during training: how often they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.lines import epoch_lines, filled_and_hollow
from sdd_eval.figures.selection import where

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@figure(
    "Assumptions 1 and 2 during training",
    caption="Of the predictions p and q under two masks, over classes and the images of a fixed "
    "batch. First how often Assumption 1 holds (filled: the larger of p and q has the larger "
    "gradient), and Assumption 2 (hollow: r is at most r₁). Then the means of r = |log(p/q)| "
    "(filled) and of its bound r₁ (hollow). Whiskers: one standard deviation over seeds.",
    evaluator="history",
    metrics=("p_assumption_1", "assumption_2", "assumption_2_r", "assumption_2_r1"),
)
def assumption_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Shares and means against the epoch, a line a group (section 3.3 of the paper)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from sdd_eval.figures.style import percent, room

    rows = where(results, evaluator="history")
    if where(rows, metric="p_assumption_1").empty:
        return None
    width, columns, lines = room(2)
    drawn = Figure(figsize=(width, 0.2 + 2.2 * lines), layout="constrained")
    shares, means = drawn.subplots(lines, columns, squeeze=False).flat
    epoch_lines(shares, rows, "p_assumption_1", results, hollow=False, label=", Assumption 1")
    epoch_lines(shares, rows, "assumption_2", results, hollow=True, label=", Assumption 2")
    epoch_lines(means, rows, "assumption_2_r", results, hollow=False)
    epoch_lines(means, rows, "assumption_2_r1", results, hollow=True, label=", r₁")
    shares.set(title="Assumption 1 and Assumption 2 hold", ylim=(0, 1.02))
    means.set(title="r and r₁ (nats)")
    percent(shares)
    means.set_ylim(bottom=0)
    for axes in (shares, means):
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = means.get_legend_handles_labels()
    groups = [pair for pair in zip(handles, labels, strict=True) if not pair[1].endswith(", r₁")]
    marks = zip(filled_and_hollow(), ("Assumption 1, r", "Assumption 2, r₁"), strict=True)
    handles, labels = zip(*groups, *marks, strict=True)
    legend(drawn, [*handles], [*labels])
    return drawn
