"""Accuracy under FGSM as bars, group beside group, a cluster a reading of ε."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import (
    distinct_numbers,
    group_names,
    one_space,
    spreads,
    where,
    with_sd_dropout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import Look
    from sdd_eval.statistics.seeds import SeedSummary

#: The size of the step in the paper's Figure 3.
EPSILON = 0.2
READINGS = {"authors": "authors'\nstep", "standardised": "standard-\nised", "pixel": "pixels"}
CLEAN = "no attack"


@figure(
    "Accuracy under FGSM at one ε",
    caption="Accuracy on the images as they are and after one signed-gradient step of ε = 0.2 (the "
    "paper's Figure 3; else the smallest ε that was measured), in readings of ε that must not be "
    "compared with each other; of several constants of standardisation the commonest. Whiskers: "
    "one standard deviation over seeds.",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_right_before"),
)
def fgsm_bars(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Bars: reading × group."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import looks, percent, plain, room

    rows = one_space(where(results, evaluator="fgsm", temperature=1.0))
    attacked = where(rows, metric="fgsm_accuracy", gradient="stable")
    if attacked.empty:
        return None
    sizes = distinct_numbers(attacked, "epsilon")
    epsilon = EPSILON if EPSILON in sizes else sizes[0]
    attacked = where(attacked, epsilon=epsilon)
    found = set(attacked["variant"])
    readings = [*(name for name in READINGS if name in found), *sorted(found - set(READINGS))]
    before = where(rows, metric="fgsm_right_before", variant=readings[0])
    groups = group_names(attacked)
    drawn = Figure(figsize=(room(1)[0], 2.2), layout="constrained")
    axes = drawn.subplots()
    style = looks(group_names(results), with_sd_dropout(results))
    for index, group in enumerate(groups):
        heights = spreads(where(attacked, group=group), "variant")
        clean = list(spreads(where(before, group=group), "group").values())
        shown = [*clean[:1], *(heights.get(name) for name in readings)]
        place = (index - (len(groups) - 1) / 2) * 0.8 / len(groups)
        _bars(axes, [None] * (1 - len(clean[:1])) + shown, place, 0.8 / len(groups), style[group])
        axes.containers[-1].set_label(plain(group))
    axes.set_xticks(
        range(1 + len(readings)), [CLEAN, *(READINGS.get(r, plain(r, 12)) for r in readings)]
    )
    axes.set(ylim=(0, 1), ylabel="Accuracy", title=f"FGSM, ε = {epsilon:g}")
    percent(axes)
    axes.grid(False, axis="x")
    handles, labels = axes.get_legend_handles_labels()
    legend(drawn, handles, labels)
    return drawn


def _bars(
    axes: Axes, heights: Sequence[SeedSummary | None], place: float, width: float, look: Look
) -> None:
    """The bars of a group, one in each cluster that it has a number in."""
    from sdd_eval.figures.style import INK

    shown = [(index, each) for index, each in enumerate(heights) if each is not None]
    axes.bar(
        np.array([index for index, _ in shown]) + place,
        [each.mean for _, each in shown],
        width,
        yerr=[each.std for _, each in shown],
        error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": INK},
        color=look.colour,
        edgecolor=INK,
        linewidth=0.4,
        hatch=look.hatch,
    )
