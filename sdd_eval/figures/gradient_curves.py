"""Forward and reverse KL during training: how alike their gradients are, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.legends import legend
from sdd_eval.figures.rows import group_names, numbers, spreads, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
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
    metrics=("kl_cosine", "kl_forward_l1", "kl_reverse_l1", "p_assumption_1"),
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
    _lines(cosine, rows, "kl_cosine", results, hollow=False)
    _lines(norms, rows, "kl_reverse_l1", results, hollow=False, label=", reverse")
    _lines(norms, rows, "kl_forward_l1", results, hollow=True, label=", forward")
    for axes, title in zip((cosine, norms), PANELS.values(), strict=True):
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    norms.set_ylim(bottom=0)
    handles, labels = cosine.get_legend_handles_labels()
    legend(drawn, [*handles, *_directions()], [*labels, "reverse KL", "forward KL"])
    return drawn


def _directions() -> list[Any]:
    """What is filled and what is hollow, in no group's colour."""
    from matplotlib.lines import Line2D

    from sdd_eval.figures.style import MUTED

    return [
        Line2D([], [], color=MUTED, marker="o"),
        Line2D([], [], color=MUTED, marker="o", markerfacecolor="none", linestyle=":"),
    ]


def _lines(
    axes: Axes,
    rows: pandas.DataFrame,
    metric: str,
    results: pandas.DataFrame,
    *,
    hollow: bool,
    label: str = "",
) -> None:
    """One metric, a line a group."""
    from sdd_eval.figures.style import looks, plain

    style = looks(group_names(results), with_sd_dropout(results))
    chosen = where(rows, metric=metric)
    for group in group_names(chosen):
        own, look = where(chosen, group=group), style[group]
        epochs = numbers(own, "epoch")
        found = [next(iter(spreads(where(own, epoch=at), "group").values())) for at in epochs]
        axes.errorbar(
            epochs,
            [each.mean for each in found],
            yerr=[each.std if each.n > 1 else 0.0 for each in found],
            color=look.colour,
            marker=look.marker,
            markerfacecolor="none" if hollow else look.colour,
            linestyle=":" if hollow else look.line,
            capsize=2,
            elinewidth=0.8,
            label=f"{plain(group)}{label}",
        )
