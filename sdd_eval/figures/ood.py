"""ROC and precision–recall curves of OOD detection, and histograms of the scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import RunArrays, figure, once
from sdd_eval.figures.layout import LETTER, Grid, legend, panel_grid
from sdd_eval.figures.selection import group_names, spreads, where
from sdd_eval.figures.style import (
    INK,
    MUTED,
    SMALL,
    GroupStyle,
    plain_text,
    styles_of,
    written_name,
)
from sdd_eval.metrics.formatting import format_mean
from sdd_eval.metrics.names import display_name
from sdd_eval.metrics.ranking import (
    precision_at_recall,
    precision_recall_curve,
    roc_curve,
    tpr_at_fpr,
)
from sdd_eval.metrics.registry import Metric, metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from sdd_eval.arrays import Arrays

#: Scores of in-distribution and of OOD images → heights of the curve at `RATES`.
Curve = Callable[["NDArray[Any]", "NDArray[Any]"], "NDArray[np.float64]"]
#: The rates at which the curves of several seeds are averaged.
RATES = np.linspace(0, 1, 201)
#: Maximum number of groups whose areas fit the legend of a panel up to `SMALL_PANEL` inches wide,
#: and of a wider one; all areas are in the table of numbers.
FEW_GROUPS, MANY_GROUPS, SMALL_PANEL = 3, 6, 2.0


def detection_rows(results: pandas.DataFrame, arrays: RunArrays | None) -> pandas.DataFrame:
    """Return the AUROC rows whose scores are stored, one per OOD set and network."""
    rows = where(results, evaluator="odin", metric="auroc", grid=None)
    rows = rows.loc[rows["outliers"].notna() & (rows["outliers"] != "average")]
    if arrays is None:
        return where(rows, run=None)
    known = {
        run: arrays[run].coordinates("outliers") for run in rows["run"].unique() if run in arrays
    }
    stored = [
        name in known.get(run, ()) for run, name in zip(rows["run"], rows["outliers"], strict=True)
    ]
    with_scores: pandas.DataFrame = rows[stored]
    return _one_setting(with_scores)


def _one_setting(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of the most common temperature and ε; others must not be mixed in."""
    if rows.empty:
        return rows
    sizes = rows.groupby(["temperature", "epsilon"], dropna=False, sort=False).size()
    temperature, epsilon = sizes.index[int(sizes.to_numpy().argmax())]
    return where(rows, temperature=_or_none(temperature), epsilon=_or_none(epsilon))


def _or_none(value: Any) -> Any:
    return None if value is None or value != value else value


def ood_sets(rows: pandas.DataFrame) -> list[str]:
    """Return the names of the OOD sets in the order of the runs."""
    return list(dict.fromkeys(rows["outliers"]))


def scores_of(stored: Arrays, detector: str, outliers: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the in-distribution (n,) and OOD (m,) scores of a run."""
    of_detector = stored.where(detector=detector)
    return of_detector["scores"], of_detector.where(outliers=outliers)["scores"]


def detector_label(rows: pandas.DataFrame) -> str:
    """Return the detector and its settings, such as "ODIN, T = 1000, ε = 0.0028"."""
    first = rows.iloc[0]
    words = [display_name(first["detector"])]
    for name, sign in (("temperature", "T"), ("epsilon", "ε")):
        if _or_none(first[name]) is not None:
            words.append(f"{sign} = {float(first[name]):g}")
    return ", ".join(words)


def draw_ood_curves(
    results: pandas.DataFrame,
    arrays: RunArrays | None,
    curve: Curve,
    area: str,
    labels: tuple[str, str],
    background: Callable[[Axes, pandas.DataFrame], None],
) -> Figure | None:
    """Draw curves averaged over seeds; return None if no scores are stored.

    `area` is the metric in each panel's legend; `labels` are the axis labels; `background` draws
    what lies behind the curves of a panel.
    """
    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets, styles = ood_sets(rows), styles_of(results)
    grid = panel_grid(len(sets), narrow=2)
    height = (grid.panel_width + 0.15) * grid.rows + 0.25
    figure, panels = grid.figure(height, sharex=True, sharey=True)
    for axes, name in zip(panels, sets, strict=True):
        background(axes, where(rows, outliers=name))
        _panel(axes, where(rows, outliers=name), arrays, styles, curve)
        areas = where(results, outliers=name, metric=area)
        _areas(axes, areas, rows, styles, metric(area), grid.panel_width)
        axes.set_title(written_name(name, round(12 * grid.panel_width)))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    panels[0].set(xlim=(0, 1), ylim=(0, 1.01))
    panels[0].set_xticks(ticks, ["0", "", "0.5", "", "1"])
    panels[0].set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    grid.label(panels, y=labels[1])
    figure.supxlabel(f"{labels[0]} ({detector_label(rows)})")
    groups = group_names(rows)
    handles = [_handle(styles[group]) for group in groups]
    legend(figure, (handles, [plain_text(group) for group in groups]), "upper")
    return figure


def _handle(style: GroupStyle) -> Line2D:
    from matplotlib.lines import Line2D

    line: Any = style.line
    return Line2D([], [], color=style.colour, linestyle=line)


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    arrays: RunArrays,
    styles: dict[str, GroupStyle],
    curve: Curve,
) -> None:
    for group in group_names(rows):
        style = styles[group]
        heights = mean_curve(where(rows, group=group), arrays, curve)
        line = {"color": style.colour, "linestyle": style.line}
        axes.plot(RATES, heights, label=plain_text(group), **line)  # type: ignore[arg-type]
    axes.fmt_xdata = axes.fmt_ydata = lambda value: f"{value:.3f}"


def mean_curve(rows: pandas.DataFrame, arrays: RunArrays, curve: Curve) -> NDArray[np.float64]:
    """Return the mean height at `RATES` over the networks of the rows."""
    runs = zip(rows["run"], rows["detector"], rows["outliers"], strict=True)
    curves = [once(_curves, arrays[run], *names)[curve] for run, *names in runs]
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean


def _curves(stored: Arrays, *names: str) -> dict[Curve, NDArray[np.float64]]:
    """Return both curves of a run, whose scores are read only once."""
    scores = scores_of(stored, *names)
    return {curve: curve(*scores) for curve in (roc_at, pr_at)}


def _areas(
    axes: Axes,
    areas: pandas.DataFrame,
    drawn: pandas.DataFrame,
    styles: dict[str, GroupStyle],
    entry: Metric,
    panel_width: float,
) -> None:
    of_curves = areas[areas["run"].isin(set(drawn["run"]))]
    for axis in ("detector", "temperature", "epsilon"):
        of_curves = of_curves[of_curves[axis].isin(drawn[axis]) | of_curves[axis].isna()]
    values = spreads(of_curves, "group")
    groups = [group for group in group_names(drawn) if group in values]
    if 0 < len(groups) <= (FEW_GROUPS if panel_width <= SMALL_PANEL else MANY_GROUPS):
        axes.legend(
            [_handle(styles[group]) for group in groups],
            [format_mean(entry, values[group]) for group in groups],
            title=f"{entry.title} (%)" if entry.percent else entry.title,
            loc="lower right" if entry.name == "auroc" else "lower left",
            handlelength=1.6,
        )


@figure(
    "ROC curves of OOD detection",
    caption="""True positive rate (in-distribution images accepted) against false positive rate (OOD
    images accepted), averaged over seeds at each false positive rate. The thin horizontal line is a
    true positive rate of 95 %, the dotted one chance. The AUROC, mean and standard deviation over
    seeds, is given for up to six groups.""",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def roc_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per OOD set, with a line per group."""
    labels = ("False positive rate", "True positive rate")
    return draw_ood_curves(results, arrays, roc_at, "auroc", labels, _reference_lines)


def roc_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """Return the true positive rate at each false positive rate of `RATES`."""
    return tpr_at_fpr(*roc_curve(inside, outside), RATES)


def _reference_lines(axes: Axes, rows: pandas.DataFrame) -> None:
    axes.axhline(0.95, color=MUTED, linewidth=0.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))


@figure(
    "Precision–recall curves of OOD detection",
    caption="""Precision against recall with in-distribution images as the positive class, averaged
    over seeds at each recall; class counts are those of the sets. Between two thresholds the
    precision is that of the next threshold that reaches the recall, without interpolation, so that
    the area is the average precision (AUPR-in), which is given for up to six groups. The thin line
    is chance.""",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
    repeats="roc_curves",
)
def pr_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per OOD set, with a line per group (Davis and Goadrich 2006)."""

    def draw_chance(axes: Axes, rows: pandas.DataFrame) -> None:
        names = (str(rows[name].iloc[0]) for name in ("detector", "outliers"))
        prevalence = once(_prevalence, (arrays or {})[rows["run"].iloc[0]], *names)
        axes.axhline(prevalence, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))

    labels = ("Recall", "Precision")
    return draw_ood_curves(results, arrays, pr_at, "aupr_in", labels, draw_chance)


def _prevalence(stored: Arrays, *names: str) -> float:
    """Return the share of in-distribution images."""
    inside, outside = map(len, scores_of(stored, *names))
    return inside / (inside + outside)


def pr_at(inside: NDArray[Any], outside: NDArray[Any]) -> NDArray[np.float64]:
    """Return the precision at each recall of `RATES`."""
    return precision_at_recall(*precision_recall_curve(inside, outside), RATES)


#: Bins of a histogram.
BINS = 30
#: Maximum height of a row of panels, and minimum height of one with ticks, in inches.
HIGH, LOW = 1.45, 0.62


@figure(
    "Distributions of OOD scores",
    caption="""Distribution of the detector's score on in-distribution images (filled) and on each
    OOD set (outlined), for the network with the lowest seed of each group. The dashed line is the
    threshold at 95 % true positive rate: OOD images to its right are false positives. The outermost
    bins include the half percent beyond them on either side.""",
    evaluator="odin",
    metrics=("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr", "detection_error"),
)
def score_histograms(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a row per group and a column per OOD set."""
    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets, groups, styles = ood_sets(rows), group_names(rows), styles_of(results)
    grid = panel_grid(len(sets), wide=6, narrow=2)
    room = grid.highest - 0.8
    dense = HIGH * len(groups) * grid.rows > room
    if dense:  # the labels of groups are above their rows, which are lower
        grid = panel_grid(len(sets), wide=6, narrow=6)
    lines, columns = len(groups) * grid.rows, grid.columns
    height = min(HIGH, room / lines)
    whole = Grid(lines * columns, grid.width, columns)
    figure, panels = whole.figure(height * lines + 0.45)
    for axes in panels:
        axes.set_axis_off()
    for line, (group, part) in enumerate((g, p) for g in groups for p in range(grid.rows)):
        by_seed = where(rows, group=group).sort_values(["seed", "checkpoint"], na_position="last")
        network = where(rows, group=group, checkpoint=by_seed["checkpoint"].iloc[0])
        first = line * columns
        for axes, name in zip(panels[first:], sets[part * columns :][:columns], strict=False):
            _histogram_panel(axes, where(network, outliers=name), arrays, styles[group].colour)
            few_ticks(axes, grid.panel_width if height > LOW else 0)
            axes.set_label(f"{plain_text(group)}, {written_name(name)}")
            if line == 0 or (grid.rows > 1 and not dense):
                title = written_name(name, round(14 * grid.panel_width))
                axes.set_title(title, pad=11 if dense else 3)
        _label_group(panels[first], plain_text(group, 40), dense)
    legend(figure, _legend(), "upper")
    figure.supxlabel(f"Score ({detector_label(rows)})")
    return figure


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color="#b0b0b0"),
        Line2D([], [], color=INK, linewidth=1.1),
        Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8),
    ]
    return handles, ["In-distribution", "OOD", "Threshold at 95 % true positive rate"]


def _label_group(axes: Axes, group: str, dense: bool) -> None:
    """Label a row of panels next to its first one, or above it if that is too low."""
    if not dense:
        axes.set_ylabel(group.replace(" + ", "\n+ "), fontsize=SMALL)
        return
    if not axes.get_title():
        axes.set_title(" ", fontsize=SMALL, pad=2)  # reserve the height of the label
    label = axes.annotate(
        group, (0, 1), (0, 2), "axes fraction", textcoords="offset points", fontsize=SMALL
    )
    label.set_in_layout(False)  # it may be wider than the panel


def _histogram_panel(axes: Axes, rows: pandas.DataFrame, arrays: RunArrays, colour: str) -> None:
    if rows.empty:
        return
    axes.set_axis_on()
    run, *names = (rows[name].iloc[0] for name in ("run", "detector", "outliers"))
    edges, heights, threshold = once(_histograms, arrays[run], *names)
    low, high = float(edges[0]), float(edges[-1])
    options: tuple[dict[str, Any], ...] = (
        {"label": "in-distribution", "fill": True, "color": colour, "alpha": 0.5},
        {"label": "OOD", "color": INK, "linewidth": 1.1},
    )
    for height, option in zip(heights, options, strict=True):
        axes.stairs(height, edges, **option)
    axes.set_ylim(bottom=0)
    axes.fmt_ydata = lambda fraction: f"{100 * fraction:.1f} %"
    digits = max(0, 2 - math.floor(math.log10(high - low)))
    axes.fmt_xdata = lambda score: f"{score:.{digits}f}"
    axes.axvline(threshold, color=MUTED, linestyle="--", linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.grid(False)


def _histograms(stored: Arrays, *names: str) -> tuple[NDArray[Any], list[NDArray[Any]], float]:
    """Return edges, both histograms, and the threshold at 95 % true positive rate."""
    inside, outside = scores_of(stored, *names)
    low, high = np.percentile(np.concatenate([inside, outside]), [0.5, 99.5]).tolist()
    if low == high:
        low, high = low - 1, high + 1
    heights = []
    for scores in (inside, outside):
        counts, edges = np.histogram(np.clip(scores, low, high), BINS, range=(low, high))
        heights.append(counts / len(scores))
    threshold = np.sort(inside)[len(inside) - math.ceil(0.95 * len(inside))]
    return edges, heights, float(threshold)


def few_ticks(axes: Axes, width: float) -> None:
    """Set up to three ticks that fit a width in inches, with just enough digits to be distinct."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    most = 0 if width < 1 else 2 if width < 1.6 else 3
    ticks = MaxNLocator(most).tick_values(low, high) if most else []
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    labelled = {tick: f"{tick:.{digits}f}" for tick in ticks if low <= tick <= high}
    if sum(LETTER * len(label) + 8 for label in labelled.values()) <= 72 * width:
        axes.set_xticks(list(labelled), list(labelled.values()))
    elif most:
        _end_ticks(axes, digits)


def _end_ticks(axes: Axes, digits: int) -> None:
    """Set a tick near either end with its label inside the panel, where long labels fit."""
    low, high = axes.get_xlim()
    unit = 10.0**-digits
    ends = [math.ceil(low / unit) * unit, math.floor(high / unit) * unit]
    axes.set_xticks(ends, [f"{end:.{digits}f}" for end in ends])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
