"""Lines and bars of groups: means over seeds with whiskers of one standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.figures.selection import group_names, spreads_by_number, where
from sdd_eval.figures.style import INK, MUTED, GroupStyle, plain_text, styles_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from sdd_eval.statistics.seeds import SeedSummary


def group_line(
    axes: Axes, points: Mapping[float, SeedSummary], style: GroupStyle, **options: Any
) -> None:
    """Draw a group's means at each x as a line with whiskers; `options` override the style's."""
    shared: dict[str, Any] = {"marker": style.marker, "linestyle": style.line, "capsize": 2}
    axes.errorbar(
        list(points),
        [value.mean for value in points.values()],
        yerr=[value.std if value.n > 1 else 0.0 for value in points.values()],
        color=style.colour,
        elinewidth=0.8,
        **{**shared, **options},
    )


def mean_line(axes: Axes, points: Mapping[Any, SeedSummary], **options: Any) -> None:
    """Draw the means at each x as a line without whiskers."""
    axes.plot(list(points), [value.mean for value in points.values()], **options)


def accuracy_by_epsilon(
    rows: pandas.DataFrame, clean: pandas.DataFrame
) -> dict[float, SeedSummary]:
    """Return a group's accuracy by ascending ε; at 0 that of `clean`, which may repeat rows."""
    before = clean.drop_duplicates("checkpoint").assign(epsilon=0.0)
    return {**spreads_by_number(before, "epsilon"), **spreads_by_number(rows, "epsilon")}


def epoch_lines(
    axes: Axes,
    rows: pandas.DataFrame,
    metric: str,
    results: pandas.DataFrame,
    *,
    hollow: bool,
    label: str = "",
) -> None:
    """Draw a metric of the training history against the epoch, with a line per group."""
    styles = styles_of(results)
    selected = where(rows, metric=metric)
    for group in group_names(selected):
        of_group, style = where(selected, group=group), styles[group]
        group_line(
            axes,
            spreads_by_number(of_group, "epoch"),
            style,
            linestyle=":" if hollow else style.line,
            markerfacecolor="none" if hollow else style.colour,
            label=f"{plain_text(group)}{label}",
        )


def filled_and_hollow() -> list[Line2D]:
    """Return legend handles of a filled and a hollow line, in no group's colour."""
    from matplotlib.lines import Line2D

    hollow: dict[str, Any] = {"markerfacecolor": "none", "linestyle": ":"}
    return [Line2D([], [], color=MUTED, marker="o", **style) for style in ({}, hollow)]


def offset(index: int, groups: int, width: float) -> float:
    """Return the offset of a group from the centre of its cluster, which has this width."""
    return (index - (groups - 1) / 2) * width / groups


def group_bars(
    axes: Axes,
    heights: Sequence[SeedSummary | None],
    index: int,
    groups: int,
    style: GroupStyle,
    label: str,
    **error: Any,
) -> None:
    """Draw a group's bars, one in each cluster (at 0, 1, 2 …) that it has a number in.

    `index` is the position of the group within a cluster, of `groups`; `error` are matplotlib's
    options of the whiskers.
    """
    known = [(cluster, value) for cluster, value in enumerate(heights) if value is not None]
    axes.bar(
        np.array([cluster for cluster, _ in known]) + offset(index, groups, 0.8),
        [value.mean for _, value in known],
        0.8 / groups,
        yerr=[value.std for _, value in known],
        error_kw={"ecolor": INK, **error},
        color=style.colour,
        edgecolor=INK,
        linewidth=0.4,
        hatch=style.hatch,
        label=label,
    )
