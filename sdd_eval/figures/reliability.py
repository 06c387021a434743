"""Accuracy against confidence, bin by bin, and where the confidences lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import (
    distinct_numbers,
    group_names,
    mean_and_std,
    where,
    with_sd_dropout,
)
from sdd_eval.statistics.seeds import summarize_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: The number of bins that is drawn where several were scored: the paper's.
BINS = 10

#: The rows whose `low` and `high` are the consistency band.
BAND = "bin_accuracy_calibrated"


@figure(
    "Reliability",
    caption="Accuracy in each bin of confidence (bars) against the bin's mean confidence; the "
    "dashed diagonal is perfect calibration; hatched is the gap between the two. Brackets are the "
    "consistency band: where chance leaves the accuracy of a calibrated network with the same "
    "confidences in 95 % of cases, each bin by itself, of one network also where bins are pooled. "
    "Below: the share of images in each bin. Bins are pooled over seeds; ECE is the mean over "
    "seeds, or one network's with its interval (same network, new images; 95 % unless --level says "
    "else), before temperature scaling.",
    evaluator="calibration",
    metrics=("ece", "ece_floor", "bin_count", "bin_confidence", "bin_accuracy"),
)
def reliability(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A reliability diagram a group (DeGroot and Fienberg 1983; Guo et al. 2017)."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import PAGE, looks, room

    own = where(results, evaluator="calibration")  # others score an ECE too, of corrupted images
    counts = where(own, metric="bin_count")
    if counts.empty:
        return None
    bins = (
        BINS
        if BINS in distinct_numbers(counts, "bins")
        else int(distinct_numbers(counts, "bins")[0])
    )
    rows = where(own, bins=bins)
    groups = group_names(where(rows, metric="bin_count"))
    few = len(groups) <= 6
    width, columns, lines = room(len(groups), wide=3 if few else 4, narrow=2 if few else 3)
    height = (1.2 + min(2.6, width / columns)) * lines
    drawn = Figure(figsize=(width, min(height, PAGE - 0.8)), layout="constrained")
    grid = drawn.subplots(
        2 * lines, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * lines
    )
    style = looks(group_names(results), with_sd_dropout(results))
    for index, group in enumerate(groups):
        line, column = divmod(index, columns)
        upper, lower = grid[2 * line, column], grid[2 * line + 1, column]
        longest = round((15 if few else 13) * width / columns)
        _panel(upper, lower, where(rows, group=group), bins, group, style[group], longest)
        if column:
            upper.tick_params(labelleft=False)
            lower.tick_params(labelleft=False)
        else:
            upper.set_ylabel("Accuracy")
            lower.set_ylabel("Images")
    for index in range(len(groups), lines * columns):
        line, column = divmod(index, columns)
        grid[2 * line, column].set_axis_off()
        grid[2 * line + 1, column].set_axis_off()
    handles, labels = _legend(not where(rows, metric=BAND).empty)
    legend(drawn, handles, labels)
    return drawn


def _legend(with_band: bool) -> tuple[list[Any], list[str]]:
    """What bars, boxes, the diagonal and brackets are, in no group's colour."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.path import Path

    from sdd_eval.figures.style import INK

    handles = [
        Patch(facecolor="#b0b0b0", edgecolor=INK, linewidth=0.5),
        Patch(facecolor="none", edgecolor=INK, hatch="//////", linewidth=0.4, alpha=0.6),
        Line2D([], [], color=INK, linestyle=(0, (4, 3)), linewidth=0.8),
    ]
    labels = ["accuracy", "gap to mean confidence", "perfect calibration"]
    if with_band:
        bracket = Path([(-1, 2), (1, 2), (0, 2), (0, -2), (-1, -2), (1, -2)], [1, 2, 1, 2, 1, 2])
        handles.append(
            Line2D([], [], color=INK, linestyle="none", marker=bracket, markersize=8, mew=1.2)
        )
        labels.append("chance alone, 95 %")
    return handles, labels


def _panel(
    upper: Axes, lower: Axes, rows: pandas.DataFrame, bins: int, group: str, look: Any, longest: int
) -> None:
    """The diagram of one group and its histogram."""
    from sdd_eval.figures.style import INK, plain

    counts, confidence, accuracy = pooled_bins(rows, bins)
    edges = np.linspace(0, 1, bins + 1)
    middles, filled = (edges[:-1] + edges[1:]) / 2, counts > 0
    upper.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, zorder=4)
    bars = upper.bar(
        middles[filled],
        accuracy[filled],
        width=1 / bins,
        color=look.colour,
        edgecolor=INK,
        linewidth=0.5,
        zorder=2,
    )
    upper.bar(
        middles[filled],
        (confidence - accuracy)[filled],
        bottom=accuracy[filled],
        width=0.86 / bins,
        facecolor="none",
        edgecolor=INK,
        hatch="//////",
        linewidth=0.4,
        alpha=0.6,
        zorder=3,
    )
    for bar, right, sure, images in zip(
        bars, accuracy[filled], confidence[filled], counts[filled], strict=True
    ):
        told = f"accuracy {right:.3f} at mean confidence {sure:.3f}, {images:,.0f} images"
        bar.set_label(f"{plain(group)}: {told}")
    _band(upper, rows, bins)
    upper.set(title=f"{plain(group, longest)}\n{_ece(rows, longest)}", xlim=(0, 1), ylim=(0, 1))
    upper.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    share = counts / counts.sum()
    lower.bar(
        middles,
        share,
        width=1 / bins,
        color=look.colour,
        edgecolor=INK,
        linewidth=0.5,
        label=f"{plain(group)}, share of images",
    )
    lower.fmt_ydata = lambda value: f"{100 * value:.1f} %"
    lower.set(xlabel="Confidence", ylim=(0, 1))
    lower.tick_params(labelbottom=True)
    lower.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    lower.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])


def _band(axes: Axes, rows: pandas.DataFrame, bins: int) -> None:
    """The consistency band: a bracket at each bin's mean confidence."""
    from sdd_eval.figures.style import INK, PAPER

    place, low, high = pooled_band(rows, bins)
    # Light beneath dark: it stands out from bars of any colour and from their hatching. A bin of
    # few images may have a band that does not reach its confidence, which no error bar can be.
    for colour, width, order in ((PAPER, 2.8, 5), (INK, 1.2, 6)):
        axes.vlines(place, low, high, color=colour, linewidth=width, zorder=order)
        for end in (low, high):
            caps = axes.plot(place, end, "_", color=colour, markersize=5 + width, zorder=order)
            caps[0].set(markeredgewidth=width, clip_on=False)


def pooled_band(
    rows: pandas.DataFrame, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean confidence, lower and upper end of the band of each bin that has one.

    Of several seeds it is their mean band, weighted by images. Pooling makes it no narrower: the
    seeds see the same images, so that what chance does to one it does to the others.
    """
    count, ends = np.zeros(bins), np.zeros((3, bins))
    for _, network in rows.groupby("checkpoint", sort=True):
        band = where(network, metric=BAND).dropna(subset=["low", "high"])
        index = band["bin"].to_numpy(dtype=int) - 1
        own = _by_bin(network, "bin_count", bins)[index]
        count[index] += own
        ends[:, index] += own * band[["value", "low", "high"]].to_numpy(dtype=float).T
    place, low, high = ends[:, count > 0] / count[count > 0]
    return place, low, high


def _ece(rows: pandas.DataFrame, longest: int) -> str:
    """ECE: mean and standard deviation over seeds, or one network's with its interval.

    In two lines where one would reach into the next panel; the mean alone where that is too long.
    """
    found = where(rows, metric="ece", temperature=None)
    if found.empty:
        return "ECE not scored"
    value = summarize_seeds(found["value"])
    low, high = (float(found[end].iloc[0]) for end in ("low", "high"))
    if value.n > 1:
        parts = [f"ECE {mean_and_std(value)}", f"n {value.n}"]
    elif math.isnan(low):
        parts = [f"ECE {value.mean:.3f}"]
    else:
        parts = [f"ECE {value.mean:.3f}", f"[{low:.3f}, {high:.3f}]"]
    joined = (", " if value.n > 1 else " ").join(parts)
    if len(joined) < 0.85 * longest:
        return joined
    return "\n".join(parts) if max(map(len, parts)) < longest else f"ECE {value.mean:.3f}"


def pooled_bins(
    rows: pandas.DataFrame, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Count, mean confidence and accuracy of each bin over all images of all seeds."""
    counts = np.zeros(bins)
    sums = {"bin_confidence": np.zeros(bins), "bin_accuracy": np.zeros(bins)}
    for _, network in rows.groupby("checkpoint", sort=True):
        own = _by_bin(network, "bin_count", bins)
        counts += own
        for metric, total in sums.items():
            total += own * _by_bin(network, metric, bins)
    safe = np.where(counts > 0, counts, 1)
    return counts, sums["bin_confidence"] / safe, sums["bin_accuracy"] / safe


def _by_bin(rows: pandas.DataFrame, metric: str, bins: int) -> NDArray[np.float64]:
    """A metric's value in each bin, counted from 1; zero where a bin has no row."""
    values = np.zeros(bins)
    chosen = where(rows, metric=metric)
    for index, value in zip(chosen["bin"], chosen["value"], strict=True):
        values[int(index) - 1] = value
    return values
