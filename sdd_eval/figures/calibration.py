"""Reliability diagrams, and accuracy against confidence as lines."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import Grid, legend, panel_grid, percent_ticks, single_panel
from sdd_eval.figures.selection import bin_values, group_names, pooled_bins, preferred_number, where
from sdd_eval.figures.style import INK, MUTED, GroupStyle, group_title, plain_text, styles_of
from sdd_eval.metrics.formatting import format_interval, format_mean, format_number
from sdd_eval.metrics.registry import metric
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.seeds import summarize_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The preferred number of bins (the paper's), and the images per network in a small bin.
BINS, FEW_IMAGES = 10, 10
#: The metric whose `low` and `high` are the consistency band.
BAND = "bin_accuracy_calibrated"
_DASHED = (0, (4, 3))
#: Opacity of the bars of few and of many images.
_PALE, _STRONG = 0.3, 0.9
#: Minimum height in inches of a row of diagrams with histograms.
LOWEST_ROW = 1.6


@figure(
    "Reliability diagrams",
    caption="""Accuracy in each bin of confidence (bars); grey is the gap to the bin's mean
    confidence, and on the dashed diagonal a network is perfectly calibrated. Bars of fewer than
    ten images per network are pale. Whiskers are consistency bars: the range of the accuracy of a
    calibrated network with the same confidences in 95 % of cases, for each bin by itself and for
    one network, also if bins are pooled. Below: the images in each bin per network, on a
    logarithmic scale, where there is room. Bins are pooled over seeds. ECE, before temperature
    scaling, is the mean over seeds, or one network's with its interval (same network, new images;
    95 % unless --level says otherwise).""",
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
    grid = panel_grid(len(groups), wide=3 if few else 5, narrow=2 if few else 4)
    longest = round((15 if few else 13) * grid.panel_width)
    figure, uppers, lowers = _panels(grid)
    most = 0.0
    for index, (axes, group) in enumerate(zip(uppers, groups, strict=True)):
        of_group = where(rows, group=group)
        networks = of_group["checkpoint"].nunique()
        count, *means = pooled_bins(of_group, bins)
        count, most = count / networks, max(most, float(count.max()) / networks)
        _diagram(axes, count, means, styles[group], plain_text(group))
        _draw_band(axes, of_group, bins)
        axes.set_title(f"{group_title(group, longest)}\n{_ece(of_group, longest)}")
        if lowers:
            _histogram(lowers[index], count, plain_text(group), styles[group])
    _set_axes(uppers[0], lowers, most)
    grid.label(uppers, y=metric("accuracy").title)
    grid.label(lowers or uppers, "Confidence", "Images" if lowers else "")
    legend(figure, _legend(with_band=not where(rows, metric=BAND).empty))
    return figure


def _panels(grid: Grid) -> tuple[Figure, list[Axes], list[Axes]]:
    """Return a figure, its diagrams, and the histograms below them, if there is room."""
    height = (1.0 + min(2.6, grid.panel_width)) * grid.rows
    if grid.highest / grid.rows < LOWEST_ROW:
        return *grid.figure(height, sharex=True, sharey=True), []
    whole = Grid(2 * grid.rows * grid.columns, grid.width, grid.columns)
    figure, axes = whole.figure(height, sharex=True, height_ratios=[3, 1] * grid.rows)
    rows = [axes[i : i + grid.columns] for i in range(0, len(axes), grid.columns)]
    uppers, lowers = itertools.chain(*rows[::2]), itertools.chain(*rows[1::2])
    diagrams, histograms = (list(itertools.islice(it, grid.panels)) for it in (uppers, lowers))
    for unused in (*uppers, *lowers):
        unused.remove()
    for panels in (diagrams, histograms):
        for other in panels[1:]:
            other.sharey(panels[0])
        grid.label_ticks(panels, every_x=False, every_y=False)
    for diagram in diagrams:
        diagram.tick_params(labelbottom=False)
    return figure, diagrams, histograms


def _legend(with_band: bool) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries = {
        "accuracy": Patch(facecolor="#8c8c8c"),
        "accuracy, few images": Patch(facecolor="#8c8c8c", alpha=_PALE),
        "gap to confidence": Patch(facecolor=INK, alpha=0.2),
        "perfect calibration": Line2D([], [], color=INK, linestyle=_DASHED, linewidth=0.8),
    }
    if with_band:
        line: dict[str, Any] = {"color": INK, "linestyle": "none", "marker": "|"}
        entries["consistency bar, 95 %"] = Line2D([], [], markersize=8, **line)
    return list(entries.values()), list(entries)


def _diagram(
    axes: Axes, counts: Floats, means: list[Floats], style: GroupStyle, group: str
) -> None:
    """Draw accuracy as bars and the gap to the mean confidence; counts are images per network."""
    from matplotlib.collections import PolyCollection

    bins, filled = len(counts), counts > 0
    middles, count = _middles(bins)[filled], counts[filled]
    confidence, accuracy = (values[filled] for values in means)
    axes.plot([0, 1], [0, 1], color=INK, linestyle=_DASHED, linewidth=0.8, zorder=4)
    bars = axes.bar(middles, accuracy, width=0.94 / bins, color=style.colour, zorder=2)
    for bar, *values in zip(bars, accuracy, confidence, count.round(1), strict=True):
        bar.set_alpha(_PALE if values[-1] < FEW_IMAGES else _STRONG)
        text = "accuracy {:.3f} at mean confidence {:.3f}, {:,.6g} images per network".format(
            *values
        )
        bar.set_label(f"{group}: {text}")
    left, right = middles - 0.47 / bins, middles + 0.47 / bins
    corners = [[left, accuracy], [right, accuracy], [right, confidence], [left, confidence]]
    gaps = PolyCollection(np.array(corners).transpose(2, 0, 1), facecolor=INK, alpha=0.2, zorder=3)
    axes.add_collection(gaps, autolim=False)


def _set_axes(diagram: Axes, histograms: list[Axes], most: float) -> None:
    """Set the axes that all diagrams share, and that all histograms of up to `most` images do."""
    diagram.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (diagram.xaxis, diagram.yaxis):
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    for histogram in histograms:
        histogram.fmt_ydata = lambda value: f"{round(value, 1):,.6g}"
    if histograms:
        top = 10 ** math.ceil(math.log10(max(most, 10)))
        histograms[0].set_yscale("symlog", linthresh=1)
        histograms[0].set_ylim(0, top)
        histograms[0].set_yticks([1, top], ["1", f"{top:,}"])
        histograms[0].set_yticks([], minor=True)


def _middles(bins: int) -> Floats:
    edges = np.linspace(0, 1, bins + 1)
    return (edges[:-1] + edges[1:]) / 2


def _histogram(axes: Axes, counts: Floats, group: str, style: GroupStyle) -> None:
    """Draw the images per network of each bin."""
    edges = np.linspace(0, 1, len(counts) + 1)
    label = f"{group}, images per network"
    axes.stairs(counts, edges, fill=True, color=style.colour, alpha=_STRONG, label=label)


def _draw_band(axes: Axes, rows: pandas.DataFrame, bins: int) -> None:
    """Draw a thin whisker at each bin's mean confidence.

    The band of a bin of few images may exclude its confidence, which error bars cannot show.
    """
    x, low, high = pooled_band(rows, bins)
    axes.vlines(x, low, high, color=INK, linewidth=0.9, zorder=5)


def pooled_band(rows: pandas.DataFrame, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return mean confidence, lower and upper end of the band of each bin that has one.

    The band of several seeds is the image-weighted mean. It is not narrower than one network's: the
    seeds are evaluated on the same images, so their chance deviations are correlated.
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
    those of fewer than ten images per network are small and hollow.""",
    evaluator="calibration",
    metrics=("bin_count", "bin_confidence", "bin_accuracy"),
    repeats="reliability",
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
        of_group = where(rows, group=group)
        count, confidence, accuracy = pooled_bins(of_group, int(bins))
        fewest = FEW_IMAGES * of_group["checkpoint"].nunique()
        line: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "label": label}
        axes.plot(confidence[count > 0], accuracy[count > 0], **line)
        handles.append(Line2D([], [], marker=style.marker, **line))
        for few in (False, True):
            part = (count > 0) & ((count < fewest) == few)
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
