"""Numbers of the gradient study against the epoch, a line a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import (
    distinct_numbers,
    group_names,
    spreads,
    where,
    with_sd_dropout,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def epoch_lines(
    axes: Axes,
    rows: pandas.DataFrame,
    metric: str,
    results: pandas.DataFrame,
    *,
    hollow: bool,
    label: str = "",
) -> None:
    """One metric, a line a group; its mean over seeds, whiskers one standard deviation."""
    from sdd_eval.figures.style import looks, plain

    style = looks(group_names(results), with_sd_dropout(results))
    chosen = where(rows, metric=metric)
    for group in group_names(chosen):
        own, look = where(chosen, group=group), style[group]
        epochs = distinct_numbers(own, "epoch")
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


def filled_and_hollow() -> list[Any]:
    """Marks for the legend of what is filled and what is hollow, in no group's colour."""
    from matplotlib.lines import Line2D

    from sdd_eval.figures.style import MUTED

    return [
        Line2D([], [], color=MUTED, marker="o"),
        Line2D([], [], color=MUTED, marker="o", markerfacecolor="none", linestyle=":"),
    ]
