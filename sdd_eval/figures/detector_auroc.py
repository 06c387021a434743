"""How well each detector tells each set of outliers from test images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.legends import legend
from sdd_eval.figures.outlier_scores import outlier_sets
from sdd_eval.figures.rows import group_names, where, with_sd_dropout
from sdd_eval.figures.values import tell
from sdd_eval.statistics.seeds import spread

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import Look

#: What sets the lines of one detector apart, and how it is written.
SETTINGS = {"k": "k", "temperature": "T", "epsilon": "ε"}
#: Of a detector with more settings, as ODIN in a grid, only the first so many are drawn.
MOST = 3

#: A line: the detector, and the values of `SETTINGS`, None where it has none.
Line = tuple[Any, ...]


@figure(
    "AUROC of each detector",
    caption="Area under the ROC curve of each detector against each set of outliers; at the dotted "
    "line it guesses. Marks are means over seeds with one standard deviation, or one network's "
    "with its 95 % interval (same network, new images). Of a detector with more than three "
    "settings the first three are drawn.",
    evaluator="ood",
    metrics=("auroc",),
)
def detector_auroc(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel a set of outliers, a line a detector, a mark a group."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import PAGE, looks, plain, room

    rows = where(results, evaluator="ood", metric="auroc", grid=None)
    rows = rows[rows["outliers"].notna()]
    if rows.empty:
        return None
    sets, lines, groups = outlier_sets(rows), lines_of(rows), group_names(rows)
    style = looks(group_names(results), with_sd_dropout(results))
    width, columns, down = room(len(sets), narrow=2)
    height = (0.16 + 0.05 * (len(groups) - 1)) * len(lines) + 0.5
    drawn = Figure(figsize=(width, min(height * down + 0.2, PAGE - 1.0)), layout="constrained")
    grid = drawn.subplots(down, columns, squeeze=False, sharex=True, sharey=True)
    names = [plain(_name(line, lines), 18) for line in lines]
    grid[0, 0].set_yticks(range(len(lines)), names)
    grid[0, 0].set(ylim=(len(lines) - 0.4, -0.6))
    for axes, outliers in zip(grid.flat, sets, strict=False):
        axes.set_title(plain(outliers, round(10 * width / columns)))
        _panel(axes, where(rows, outliers=outliers), lines, names, style)
    for axes in grid.flat[len(sets) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(sets) - columns) : len(sets)]:
        axes.tick_params(labelbottom=True)
    drawn.supxlabel("AUROC", fontsize=8)
    legend(drawn, [_handle(style[g]) for g in groups], [plain(g) for g in groups], "upper")
    return drawn


def lines_of(rows: pandas.DataFrame) -> list[Line]:
    """The detectors with their settings, in the order of the runs."""
    names = [name for name in SETTINGS if name in rows]
    found: dict[Any, list[Line]] = {}
    for place in rows[["detector", *names]].drop_duplicates().itertuples(index=False, name=None):
        line = (place[0], *(None if value != value else value for value in place[1:]))
        if line not in found.setdefault(place[0], []):
            found[place[0]].append(line)
    return [line for own in found.values() for line in own[:MOST]]


def _name(line: Line, lines: list[Line]) -> str:
    """The detector, and where it has several lines what sets this one apart."""
    like = [each for each in lines if each[0] == line[0]]
    words = [str(line[0]).replace("_", " ")]
    for index, sign in enumerate(list(SETTINGS.values())[: len(line) - 1], start=1):
        if len({each[index] for each in like}) > 1:
            words.append(f"{sign} {line[index]:g}")
    return " ".join(words)


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    lines: list[Line],
    names: list[str],
    style: dict[str, Look],
) -> None:
    """The marks of all groups against one set of outliers."""
    from sdd_eval.figures.style import MUTED, plain

    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    groups = group_names(rows)
    axis_names = [name for name in SETTINGS if name in rows]
    for index, group in enumerate(groups):
        shift = (index - (len(groups) - 1) / 2) * 0.7 / len(groups)
        for place, line in enumerate(lines):
            values = dict(zip(["detector", *axis_names], line, strict=True))
            own = where(rows, group=group, **values)
            if not own.empty:
                told = f"{plain(group)}, {names[place]}"
                _mark(axes, own, place + shift, style[group], told)
    axes.margins(x=0.08)


def _mark(axes: Axes, rows: pandas.DataFrame, place: float, look: Look, told: str) -> None:
    """A mark, with the deviation over seeds or one network's interval."""
    value = spread(rows["value"])
    if value.n > 1:
        low, high, kind = value.mean - value.std, value.mean + value.std, f"± {value.std:.3f}"
    else:
        low, high = (float(rows[end].iloc[0]) for end in ("low", "high"))
        kind = f"[{low:.3f}, {high:.3f}]"
    known = not (math.isnan(low) or math.isnan(high))
    bars = axes.errorbar(
        [value.mean],
        [place],
        xerr=[[value.mean - low], [high - value.mean]] if known else None,
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        elinewidth=0.9,
        markersize=3.5,
        label=f"_{told}",
    )
    words = f"{told}: {value.mean:.3f}{f' {kind}' if known else ''}"
    tell(bars.lines[0], lambda _: words)


def _handle(look: Look) -> Any:
    """A mark for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", markersize=4)
