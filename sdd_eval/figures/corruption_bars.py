"""Accuracy for each corruption, averaged over severities, group beside group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import benchmark_order, group_names, spreads, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import Look


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

    from sdd_eval.figures.style import looks, room

    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    if rows.empty:
        return None
    names = benchmark_order(rows["corruption"])
    style = looks(group_names(results), with_sd_dropout(results))
    lines = min(room(2)[2], len(names))  # in one column of a paper in two lines
    drawn = Figure(figsize=(room(1)[0], 0.3 + 2.3 * lines), layout="constrained")
    share = math.ceil(len(names) / lines)
    for line, axes in enumerate(drawn.subplots(lines, 1, squeeze=False)[:, 0]):
        _bars(axes, rows, names[line * share : (line + 1) * share], share, style)
    handles, labels = axes.get_legend_handles_labels()
    legend(drawn, handles, labels, "upper")
    return drawn


def _bars(
    axes: Axes, rows: pandas.DataFrame, names: list[str], places: int, style: dict[str, Look]
) -> None:
    """Bars of some corruptions in a line that has so many places."""
    from sdd_eval.figures.style import INK, percent, plain

    groups = group_names(rows)
    width = 0.8 / len(groups)
    for index, group in enumerate(groups):
        found = spreads(where(rows, group=group), "corruption")
        known = [place for place, name in enumerate(names) if name in found]
        axes.bar(
            np.array(known) + (index - (len(groups) - 1) / 2) * width,
            [found[names[place]].mean for place in known],
            width,
            yerr=[found[names[place]].std for place in known],
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
    axes.set(ylim=(0, 1), ylabel="Accuracy", xlim=(-0.6, places - 0.4))
    percent(axes)
    axes.grid(False, axis="x")
