"""Risk–coverage curves of selective prediction: the error rate among the most confident images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.figures import RunArrays, figure, once
from sdd_eval.figures.layout import legend, panel_grid
from sdd_eval.figures.ood import MANY_GROUPS
from sdd_eval.figures.selection import group_names, spreads, where
from sdd_eval.figures.style import GroupStyle, plain_text, styles_of
from sdd_eval.metrics.formatting import format_mean
from sdd_eval.metrics.ranking import risk_coverage_curve
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sdd_eval.arrays import Arrays

#: The coverages at which the curves of several seeds are averaged.
COVERAGES = np.linspace(0, 1, 201)[1:]
#: Height of a panel as a multiple of the highest risk, which leaves room for the legend.
HEIGHT = 1.3
#: The confidence scores, in the order of their columns, with titles.
NAMES = {
    **{"msp": "Maximum softmax probability", "max_logit": "Maximum logit"},
    **{"energy": "Energy", "entropy": "Entropy"},
}


@figure(
    "Risk–coverage curves",
    caption="""Error rate (risk) among the most confident images against their fraction (coverage),
    averaged over seeds at each coverage; one panel per confidence score, ties in random order. The
    area below the curve (AURC · 10³, lower is better), mean and standard deviation over seeds, is
    given for up to six groups.""",
    evaluator="selective",
    metrics=("aurc", "aurc_excess", "coverage_at_1_percent_risk", "coverage_at_5_percent_risk"),
)
def risk_coverage(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per score, with a line per group (Geifman and El-Yaniv 2017)."""
    rows = where(results, evaluator="selective", metric="aurc", corruption=None)
    rows = _with_arrays(rows, arrays)
    if rows.empty or arrays is None:
        return None
    scores = [name for name in NAMES if name in set(rows["score"])]
    grid, styles = panel_grid(len(scores), wide=4, narrow=2), styles_of(results)
    figure, panels = grid.figure(2.15 * grid.rows + 0.2, sharex=True, sharey=True)
    for axes, score in zip(panels, scores, strict=True):
        _panel(axes, where(rows, score=score), arrays, list(NAMES).index(score), styles)
        axes.set(title=_title(NAMES[score], grid.panel_width))
        axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    highest = max(float(np.max(line.get_ydata())) for axes in panels for line in axes.lines)
    first = panels[0]
    first.set(xlim=(0, 1), ylim=(0, HEIGHT * highest or 1))
    first.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    grid.label(panels, "Coverage", "Risk")
    legend(figure, first.get_legend_handles_labels(), "upper")
    return figure


def _title(name: str, width: float) -> str:
    """Return a score's name, on two lines if it is wider than the panel."""
    return name if len(name) < 14 * width else name.replace("softmax ", "softmax\n")


def _with_arrays(rows: pandas.DataFrame, arrays: RunArrays | None) -> pandas.DataFrame:
    known = {
        run: arrays is not None and run in arrays and "scores" in arrays[run]
        for run in rows["run"].unique()
    }
    stored: pandas.DataFrame = rows[[known[run] for run in rows["run"]]]
    return stored


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    arrays: RunArrays,
    column: int,
    styles: dict[str, GroupStyle],
) -> None:
    areas = spreads(rows.assign(value=1000 * rows["value"]), "group")
    entry = replace(metric("aurc"), percent=False)
    lines, texts = [], []
    for group in group_names(rows):
        style, label = styles[group], plain_text(group)
        risk = mean_risk(where(rows, group=group), arrays, column)
        lines += axes.plot(COVERAGES, risk, color=style.colour, linestyle=style.line, label=label)
        texts.append(format_mean(entry, areas[group]))
    axes.fmt_xdata = axes.fmt_ydata = lambda value: f"{100 * value:.2f} %"
    if len(lines) <= MANY_GROUPS:
        axes.legend(
            lines,
            texts,
            title=f"{entry.title} · 10³",
            loc="upper left",
            handlelength=1.6,
        )


def mean_risk(rows: pandas.DataFrame, arrays: RunArrays, column: int) -> NDArray[np.float64]:
    """Return the mean risk at `COVERAGES` over the networks of the rows."""
    risks = [once(_risks, arrays[run]) for run in rows["run"]]
    mean: NDArray[np.float64] = np.mean([risk[column] for risk in risks], axis=0)
    return mean


def _risks(stored: Arrays) -> list[NDArray[np.float64]]:
    """Return the risk at `COVERAGES` of one network by each of its scores."""
    correct = stored["correct"]
    curves = [risk_coverage_curve(scores, correct) for scores in stored["scores"].T]
    return [np.interp(COVERAGES, *curve) for curve in curves]
