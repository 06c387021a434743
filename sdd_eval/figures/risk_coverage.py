"""Risk against coverage: how many errors are among the answers, where only the surest are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.ood_curves import SOME
from sdd_eval.figures.selection import group_names, mean_and_std, spreads, where, with_sd_dropout
from sdd_eval.metrics.ranking import risk_coverage_curve as curve

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: The coverages at which the curves of several seeds are averaged.
PLACES = np.linspace(0, 1, 201)[1:]

#: How high a panel is, as a multiple of the highest risk: above the curves stand their areas.
ROOM = 1.3

#: The scores of confidence in the order of their columns, and what a panel calls them.
NAMES = {"msp": "Softmax", "max_logit": "Largest logit", "energy": "Energy", "entropy": "Entropy"}


@figure(
    "Risk and coverage",
    caption="Share of wrong answers (risk) among the surest images, against the share of images "
    "that are answered (coverage), averaged over seeds at each coverage; a panel a score of "
    "confidence, and equal scores in random order. Of few groups each panel gives the area "
    "below (AURC, in thousandths), mean and standard deviation over seeds: less is better.",
    evaluator="selective",
    metrics=("aurc", "aurc_excess", "coverage_at_1_percent_risk", "coverage_at_5_percent_risk"),
)
def risk_coverage(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel a score, a line a group (Geifman and El-Yaniv 2017)."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import looks, room

    rows = _with_arrays(
        where(results, evaluator="selective", metric="aurc", corruption=None), arrays
    )
    if rows.empty or arrays is None:
        return None
    scores = [name for name in NAMES if name in set(rows["score"])]
    width, columns, lines = room(len(scores), wide=4, narrow=2)
    drawn = Figure(figsize=(width, 2.15 * lines + 0.2), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    style = looks(group_names(results), with_sd_dropout(results))
    for axes in grid.flat[len(scores) :]:
        axes.set_axis_off()
    for axes, score in zip(grid.flat, scores, strict=False):
        _panel(axes, where(rows, score=score), arrays, list(NAMES).index(score), style)
        axes.set(title=NAMES[score], xlabel="Coverage")
        axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.label_outer()
    highest = max(float(np.max(line.get_ydata())) for axes in grid.flat for line in axes.lines)
    grid[0, 0].set(xlim=(0, 1), ylim=(0, ROOM * highest or 1))
    grid[0, 0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    for axes in grid[:, 0]:
        axes.set_ylabel("Risk")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend(drawn, handles, labels, "upper")
    return drawn


def _with_arrays(rows: pandas.DataFrame, arrays: Arrays | None) -> pandas.DataFrame:
    """The rows of runs whose per-image values are at hand."""
    known = {
        run: arrays is not None and run in arrays and {"scores", "correct"} <= set(arrays[run])
        for run in rows["run"].unique()
    }
    kept: pandas.DataFrame = rows[[known[run] for run in rows["run"]]]
    return kept


def _panel(
    axes: Axes, rows: pandas.DataFrame, arrays: Arrays, column: int, style: dict[str, Any]
) -> None:
    """The curves of one score, and their areas."""
    from sdd_eval.figures.style import plain

    areas = spreads(rows, "group")
    lines, texts = [], []
    for group in group_names(rows):
        look = style[group]
        risk = mean_curve(where(rows, group=group), arrays, column)
        lines += axes.plot(PLACES, risk, color=look.colour, linestyle=look.line, label=plain(group))
        texts.append(mean_and_std(areas[group], 1, 1000))
    axes.fmt_xdata = axes.fmt_ydata = lambda value: f"{100 * value:.2f} %"
    if len(lines) <= SOME:
        axes.legend(
            lines, texts, title="AURC · 10³", title_fontsize=7, loc="upper left", handlelength=1.6
        )


def mean_curve(rows: pandas.DataFrame, arrays: Arrays, column: int) -> NDArray[np.float64]:
    """The mean risk at `PLACES` over the networks of the rows."""
    curves = []
    for run in rows["run"]:
        coverage, risk = curve(arrays[run]["scores"][:, column], arrays[run]["correct"])
        curves.append(np.interp(PLACES, coverage, risk))
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean
