"""Accuracy for each corruption, averaged over severities, group beside group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.rows import group_names, in_order, spreads, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@figure(
    "Accuracy under corruption",
    caption="Mean accuracy over the severities of each corruption, averaged over seeds; whiskers: "
    "one standard deviation over seeds.",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_bars(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Bars: corruption × group."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import DOUBLE, INK, looks, plain

    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    if rows.empty:
        return None
    names, groups = in_order(rows["corruption"]), group_names(rows)
    style = looks(group_names(results), with_sd_dropout(results))
    drawn = Figure(figsize=(DOUBLE, 2.9), layout="constrained")
    axes = drawn.subplots()
    width = 0.8 / len(groups)
    for index, group in enumerate(groups):
        found = spreads(where(rows, group=group), "corruption")
        places = [place for place, name in enumerate(names) if name in found]
        axes.bar(
            np.array(places) + (index - (len(groups) - 1) / 2) * width,
            [found[names[place]].mean for place in places],
            width,
            yerr=[np.nan_to_num(found[names[place]].std) for place in places],
            error_kw={"elinewidth": 0.7, "capsize": 1.2 if len(groups) < 5 else 0, "ecolor": INK},
            color=style[group].colour,
            edgecolor=INK,
            linewidth=0.4,
            hatch=style[group].hatch,
            label=plain(group),
        )
    axes.set_xticks(
        range(len(names)),
        [plain(name.replace("_", " "), 20) for name in names],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set(ylim=(0, 1), ylabel="Accuracy", xlim=(-0.6, len(names) - 0.4))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(False, axis="x")
    drawn.legend(loc="outside upper center", ncols=min(3, len(groups)), frameon=False)
    return drawn
