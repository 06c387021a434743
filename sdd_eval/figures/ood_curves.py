"""The scores behind detection rows: which network is drawn, and the outlier sets in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures import Arrays
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import group_names, mean_and_std, spreads, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def detection_rows(results: pandas.DataFrame, arrays: Arrays | None) -> pandas.DataFrame:
    """The AUROC rows, one an outlier set and network, whose scores are at hand."""
    rows = where(results, metric="auroc", grid=None)  # a grid's cells have scores of their own
    rows = rows.loc[rows["outliers"].notna() & (rows["outliers"] != "average")]
    if arrays is None:
        return where(rows, run=None)
    known = {run: _names(arrays, run) for run in rows["run"].unique()}
    kept = [
        {"scores", f"scores_{outliers}"} <= known[run]
        for run, outliers in zip(rows["run"], rows["outliers"], strict=True)
    ]
    with_scores: pandas.DataFrame = rows[kept]
    return _one_setting(with_scores)


def _names(arrays: Arrays, run: str) -> set[str]:
    return set(arrays[run]) if run in arrays else set()


def _one_setting(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows of one temperature and ε, the commonest: curves of two settings do not mix."""
    if rows.empty:
        return rows
    sizes = rows.groupby(["temperature", "epsilon"], dropna=False, sort=False).size()
    temperature, epsilon = sizes.index[int(sizes.to_numpy().argmax())]
    return where(rows, temperature=_or_none(temperature), epsilon=_or_none(epsilon))


def _or_none(value: Any) -> Any:
    """None for a missing value, as `where` wants it."""
    return None if value is None or value != value else value


def outlier_sets(rows: pandas.DataFrame) -> list[str]:
    """The names of the outlier sets, in the order of the runs."""
    return list(dict.fromkeys(rows["outliers"]))


def scores_of(row: Mapping[Any, Any], arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
    """In-distribution and outlier scores of one row."""
    stored = arrays[row["run"]]
    return stored["scores"], stored[f"scores_{row['outliers']}"]


def setting(rows: pandas.DataFrame) -> str:
    """The detector and its setting in words, e.g. "ODIN, T = 1000, ε = 0.0028"."""
    first = rows.iloc[0]
    words = [str(first["detector"]).upper()]
    for name, sign in (("temperature", "T"), ("epsilon", "ε")):
        if _or_none(first[name]) is not None:
            words.append(f"{sign} = {float(first[name]):g}")
    return ", ".join(words)


#: Scores of test images and of outliers → heights of the curve at `PLACES`.
Curve = Callable[["NDArray[Any]", "NDArray[Any]"], "NDArray[np.float64]"]

#: A panel of so many inches or less has no room for the areas of more groups than the first; other
#: panels for no more than the second. They are in the table of numbers.
SMALL_PANEL, FEW, SOME = 2.0, 3, 6


def has_room(groups: int, panel: float) -> bool:
    """Whether a panel of so many inches has room for the areas of so many groups."""
    return 0 < groups <= (FEW if panel <= SMALL_PANEL else SOME)


#: Where the curves of several seeds are averaged.
PLACES = np.linspace(0, 1, 201)


def outlier_curves(
    results: pandas.DataFrame,
    arrays: Arrays | None,
    curve: Curve,
    area: tuple[str, str],
    labels: tuple[str, str],
    backdrop: Callable[[Axes, pandas.DataFrame], None],
) -> Figure | None:
    """Curves averaged over seeds; None where there are no scores.

    `area` is the metric in each panel's legend and its name there, `labels` name the axes, and
    `backdrop` draws what stands behind a panel's curves.
    """
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import looks, plain, room

    rows = detection_rows(results, arrays)
    if rows.empty or arrays is None:
        return None
    sets = outlier_sets(rows)
    width, columns, lines = room(len(sets), narrow=2)
    drawn = Figure(figsize=(width, (width / columns + 0.15) * lines + 0.25), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    style = looks(group_names(results), with_sd_dropout(results))
    for axes in grid.flat[len(sets) :]:
        axes.set_axis_off()
    for axes, outliers in zip(grid.flat, sets, strict=False):
        backdrop(axes, where(rows, outliers=outliers))
        _panel(axes, where(rows, outliers=outliers), arrays, style, curve)
        areas = where(results, outliers=outliers, metric=area[0])
        _areas(axes, areas, rows, style, area[1], width / columns)
        axes.set_title(plain(outliers, round(12 * width / columns)))
    for axes in grid.flat[max(0, len(sets) - columns) : len(sets)]:
        axes.tick_params(labelbottom=True)  # nothing is drawn below it
    for axes in grid[:, 0]:
        axes.set_ylabel(labels[1])
    drawn.supxlabel(f"{labels[0]} ({setting(rows)})", fontsize=8)
    groups = group_names(rows)
    handles = [_handle(style[group]) for group in groups]
    legend(drawn, handles, [plain(group) for group in groups], "upper")
    return drawn


def _handle(look: Any) -> Any:
    """A line for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, linestyle=look.line)


def _panel(
    axes: Axes, rows: pandas.DataFrame, arrays: Arrays, style: dict[str, Any], curve: Curve
) -> None:
    """The curves against one outlier set."""
    from sdd_eval.figures.style import plain

    for group in group_names(rows):
        look = style[group]
        heights = mean_curve(where(rows, group=group), arrays, curve)
        axes.plot(PLACES, heights, color=look.colour, linestyle=look.line, label=plain(group))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xticks(ticks, ["0", "", "0.5", "", "1"])
    axes.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.fmt_xdata = axes.fmt_ydata = lambda value: f"{value:.3f}"


def _areas(
    axes: Axes,
    areas: pandas.DataFrame,
    drawn: pandas.DataFrame,
    style: dict[str, Any],
    name: str,
    panel: float,
) -> None:
    """The legend of a panel: the area below each curve, mean and deviation over seeds."""
    own = areas[areas["run"].isin(set(drawn["run"]))]
    for axis in ("detector", "temperature", "epsilon"):
        own = own[own[axis].isin(drawn[axis]) | own[axis].isna()]
    found = spreads(own, "group")
    groups = [group for group in group_names(drawn) if group in found]
    if has_room(len(groups), panel):
        axes.legend(
            [_handle(style[group]) for group in groups],
            [mean_and_std(found[group]) for group in groups],
            title=name,
            title_fontsize=7,
            loc="lower right" if name == "AUROC" else "lower left",
            handlelength=1.6,
        )


def mean_curve(rows: pandas.DataFrame, arrays: Arrays, curve: Curve) -> NDArray[np.float64]:
    """The mean height at `PLACES` over the networks of the rows."""
    curves = [curve(*scores_of(row, arrays)) for row in rows.to_dict("records")]
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean
