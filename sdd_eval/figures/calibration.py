"""Reliability diagrams, and accuracy against confidence as lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import Grid, legend, panel_grid, percent_ticks, single_panel
from sdd_eval.figures.selection import bin_values, group_names, pooled_bins, preferred_number, where
from sdd_eval.figures.style import INK, MUTED, PAGE, PAPER, GroupStyle, plain_text, styles_of
from sdd_eval.metrics.formatting import format_interval, format_mean, format_number
from sdd_eval.metrics.registry import metric
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.seeds import summarize_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The preferred number of bins, which is the paper's, and the count of a bin that is too small.
BINS, FEW_IMAGES = 10, 10
#: The metric whose `low` and `high` are the consistency band.
BAND = "bin_accuracy_calibrated"
_DASHED = (0, (4, 3))


@figure(
    "Reliability diagrams",
    caption="""Accuracy in each bin of confidence (bars); hatched is the gap to the bin's mean
    confidence, and on the dashed diagonal a network is perfectly calibrated. Brackets are
    consistency bars: the range of the accuracy of a calibrated network with the same confidences in
    95 % of cases, for each bin by itself and for one network, also if bins are pooled. Below: the
    fraction of images in each bin. Bins are pooled over seeds. ECE, before temperature scaling, is
    the mean over seeds, or one network's with its interval (same network, new images; 95 % unless
    --level says otherwise).""",
    evaluator="calibration",
    metrics=("ece", "ece_floor", "bin_count", "bin_confidence", "bin_accuracy"),
)
def reliability(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a reliability diagram per group (DeGroot and Fienberg 1983; Guo et al. 2017)."""
    calibration = where(results, evaluator="calibration")
    counts = where(calibration, metric="bin_count")
    if counts.empty:
        return None
    bins = int(preferred_number(counts, "bins", BINS))
    rows = where(calibration, bins=bins)
    groups, styles = group_names(where(rows, metric="bin_count")), styles_of(results)
    few = len(groups) <= 6
    grid = panel_grid(len(groups), wide=3 if few else 4, narrow=2 if few else 3)
    longest = round((15 if few else 13) * grid.panel_width)
    figure, panels = _figure(grid)
    for index, group in enumerate(groups):
        row, column = divmod(index, grid.columns)
        upper, lower = panels[2 * row * grid.columns + column :: grid.columns][:2]
        of_group = where(rows, group=group)
        pooled = pooled_bins(of_group, bins)
        _diagram(upper, pooled, group, styles[group])
        _draw_band(upper, of_group, bins)
        title = f"{plain_text(group, longest)}\n{_ece(of_group, longest)}"
        upper.set(title=title, xlim=(0, 1), ylim=(0, 1))
        _histogram(lower, pooled[0], group, styles[group])
        if column:
            upper.tick_params(labelleft=False)
            lower.tick_params(labelleft=False)
    for upper, lower in zip(
        panels[:: 2 * grid.columns], panels[grid.columns :: 2 * grid.columns], strict=True
    ):
        upper.set_ylabel(metric("accuracy").title)
        lower.set_ylabel("Images")
    legend(figure, _legend(with_band=not where(rows, metric=BAND).empty))
    return figure


def _figure(grid: Grid) -> tuple[Figure, list[Axes]]:
    height = min((1.2 + min(2.6, grid.panel_width)) * grid.rows, PAGE - 0.8)
    whole = Grid(2 * grid.rows * grid.columns, grid.width, grid.columns)
    figure, axes = whole.figure(height, sharex=True, height_ratios=[3, 1] * grid.rows)
    last = 2 * (grid.rows - 1) * grid.columns
    for index in range(grid.panels, grid.rows * grid.columns):
        for unused in axes[last + index % grid.columns :: grid.columns]:
            unused.set_axis_off()
    return figure, axes


def _legend(with_band: bool) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.path import Path

    handles = [
        Patch(facecolor="#b0b0b0", edgecolor=INK, linewidth=0.5),
        Patch(facecolor="none", edgecolor=INK, hatch="//////", linewidth=0.4, alpha=0.6),
        Line2D([], [], color=INK, linestyle=_DASHED, linewidth=0.8),
    ]
    labels = ["accuracy", "gap to mean confidence", "perfect calibration"]
    if with_band:
        bracket = Path([(-1, 2), (1, 2), (0, 2), (0, -2), (-1, -2), (1, -2)], [1, 2, 1, 2, 1, 2])
        handles.append(
            Line2D([], [], color=INK, linestyle="none", marker=bracket, markersize=8, mew=1.2)
        )
        labels.append("consistency bar, 95 %")
    return handles, labels


def _diagram(axes: Axes, pooled: tuple[Floats, ...], group: str, style: GroupStyle) -> None:
    counts, confidence, accuracy = pooled
    bins, filled = len(counts), counts > 0
    middles, heights = _middles(bins)[filled], accuracy[filled]
    axes.plot([0, 1], [0, 1], color=INK, linestyle=_DASHED, linewidth=0.8, zorder=4)
    bars = axes.bar(
        middles, heights, width=1 / bins, color=style.colour, edgecolor=INK, linewidth=0.5, zorder=2
    )
    axes.bar(
        middles,
        confidence[filled] - heights,
        bottom=heights,
        width=0.86 / bins,
        facecolor="none",
        edgecolor=INK,
        hatch="//////",
        linewidth=0.4,
        alpha=0.6,
        zorder=3,
    )
    for bar, *values in zip(bars, heights, confidence[filled], counts[filled], strict=True):
        text = "accuracy {:.3f} at mean confidence {:.3f}, {:,.0f} images".format(*values)
        bar.set_label(f"{plain_text(group)}: {text}")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def _middles(bins: int) -> Floats:
    edges = np.linspace(0, 1, bins + 1)
    return (edges[:-1] + edges[1:]) / 2


def _histogram(axes: Axes, counts: Floats, group: str, style: GroupStyle) -> None:
    axes.bar(
        _middles(len(counts)),
        counts / counts.sum(),
        width=1 / len(counts),
        color=style.colour,
        edgecolor=INK,
        linewidth=0.5,
        label=f"{plain_text(group)}, fraction of images",
    )
    axes.fmt_ydata = lambda value: f"{100 * value:.1f} %"
    axes.set(xlabel="Confidence", ylim=(0, 1))
    axes.tick_params(labelbottom=True)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])


def _draw_band(axes: Axes, rows: pandas.DataFrame, bins: int) -> None:
    """Draw a bracket at each bin's mean confidence, light below dark: visible on any colour.

    The band of a bin of few images may exclude its confidence, which error bars cannot show.
    """
    x, low, high = pooled_band(rows, bins)
    for colour, width, order in ((PAPER, 2.8, 5), (INK, 1.2, 6)):
        axes.vlines(x, low, high, color=colour, linewidth=width, zorder=order)
        for end in (low, high):
            caps = axes.plot(x, end, "_", color=colour, markersize=5 + width, zorder=order)
            caps[0].set(markeredgewidth=width, clip_on=False)


def pooled_band(rows: pandas.DataFrame, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return mean confidence, lower and upper end of the band of each bin that has one.

    The band of several seeds is the mean weighted by images. It is not narrower than one network's:
    the seeds are evaluated on the same images, so their chance deviations are correlated.
    """
    count, ends = np.zeros(bins), np.zeros((3, bins))
    for _, network in rows.groupby("checkpoint", sort=True):
        band = where(network, metric=BAND).dropna(subset=["low", "high"])
        index = band["bin"].to_numpy(dtype=int) - 1
        weight = bin_values(network, "bin_count", bins)[index]
        count[index] += weight
        ends[:, index] += weight * band[["value", "low", "high"]].to_numpy(dtype=float).T
    confidence, low, high = ends[:, count > 0] / count[count > 0]
    return confidence, low, high


def _ece(rows: pandas.DataFrame, longest: int) -> str:
    """Format the ECE with standard deviation or interval: on two lines if long, alone if longer."""
    ece, entry = where(rows, metric="ece", temperature=None), metric("ece")
    if ece.empty:
        return f"{entry.title} not scored"
    value = summarize_seeds(ece["value"])
    low, high = (float(ece[end].iloc[0]) for end in ("low", "high"))
    parts = [f"{entry.title} {format_mean(entry, value)}"]
    if value.n > 1:
        parts.append(f"n {value.n}")
    elif not math.isnan(low):
        parts.append(f"[{format_interval(entry, low, high)}]")
    joined = (", " if value.n > 1 else " ").join(parts)
    if len(joined) < 0.85 * longest:
        return joined
    short = f"{entry.title} {format_number(entry, value.mean)}"
    return "\n".join(parts) if max(map(len, parts)) < longest else short


@figure(
    "Accuracy against confidence",
    caption="""Accuracy against mean confidence in bins of equal width (the paper's Figure 2), with
    SD-Dropout (solid) and without (dashed). On the dotted diagonal a network is perfectly
    calibrated, below it overconfident. Bins are pooled over seeds, before temperature scaling;
    those of fewer than ten images are small and hollow.""",
    evaluator="calibration",
    metrics=("bin_count", "bin_confidence", "bin_accuracy"),
)
def confidence_lines(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a line per group through its bins."""
    from matplotlib.lines import Line2D

    counts = where(results, evaluator="calibration", metric="bin_count")
    if counts.empty:
        return None
    bins = preferred_number(counts, "bins", BINS)
    rows = where(results, evaluator="calibration", bins=bins)
    groups, styles = group_names(where(rows, metric="bin_count")), styles_of(results)
    figure, axes = single_panel(min(2.9, 0.7 * panel_grid(1).width))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    handles = []
    for group in groups:
        style, label = styles[group], plain_text(group)
        count, confidence, accuracy = pooled_bins(where(rows, group=group), int(bins))
        line: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "label": label}
        axes.plot(confidence[count > 0], accuracy[count > 0], **line)
        handles.append(Line2D([], [], marker=style.marker, **line))
        for few in (False, True):
            part = (count > 0) & ((count < FEW_IMAGES) == few)
            axes.plot(
                confidence[part],
                accuracy[part],
                color=style.colour,
                linestyle="none",
                marker=style.marker,
                markersize=2.6 if few else 4,
                markerfacecolor="none" if few else style.colour,
            )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Confidence", ylabel=metric("accuracy").title)
    axes.set_box_aspect(0.75)
    percent_ticks(axes)
    percent_ticks(axes, "x")
    legend(figure, (handles, [plain_text(group) for group in groups]))
    return figure
