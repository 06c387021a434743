"""Accuracy under FGSM at one ε as bars of groups, with a cluster per variant of the attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend, percent_ticks, single_panel
from sdd_eval.figures.selection import fgsm_rows, group_names, preferred_number, spreads, where
from sdd_eval.figures.series import group_bars
from sdd_eval.figures.style import plain_text, styles_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The preferred step size, which is that of the paper's Figure 3.
EPSILON = 0.2
VARIANTS = {"authors": "authors'\nstep", "standardised": "standard-\nised", "pixel": "pixels"}
CLEAN = "no attack"


@figure(
    "Accuracy under FGSM at one ε",
    caption="Accuracy before and after one signed-gradient step of ε = 0.2 (the paper's Figure 3; "
    "otherwise the smallest ε measured), in variants of FGSM that must not be compared with each "
    "other; of several standardisation constants the most common. Whiskers: one standard deviation "
    "over seeds.",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_right_before"),
)
def fgsm_bars(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Draw a cluster of bars without attack and one per variant."""
    rows, attacked, variants = fgsm_rows(results, VARIANTS)
    if attacked.empty:
        return None
    epsilon = preferred_number(attacked, "epsilon", EPSILON)
    attacked = where(attacked, epsilon=epsilon)
    variants = [name for name in variants if name in set(attacked["variant"])]
    before = where(rows, metric="fgsm_right_before", variant=variants[0])
    groups, styles = group_names(attacked), styles_of(results)
    figure, axes = single_panel(2.2)
    for index, group in enumerate(groups):
        clean = spreads(where(before, group=group), "group").get(group)
        after = spreads(where(attacked, group=group), "variant")
        heights = [clean, *(after.get(name) for name in variants)]
        style, label = styles[group], plain_text(group)
        group_bars(axes, heights, index, len(groups), style, label, elinewidth=0.8, capsize=2)
    labels = [CLEAN, *(VARIANTS.get(name, plain_text(name, 12)) for name in variants)]
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylim=(0, 1), ylabel="Accuracy", title=f"FGSM, ε = {epsilon:g}")
    percent_ticks(axes)
    axes.grid(False, axis="x")
    legend(figure, axes.get_legend_handles_labels())
    return figure
