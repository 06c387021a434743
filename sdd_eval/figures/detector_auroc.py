"""How well each detector tells each set of outliers from test images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.marks import tell
from sdd_eval.figures.ood_curves import SOME, outlier_sets
from sdd_eval.figures.selection import group_names, where, with_sd_dropout
from sdd_eval.statistics.seeds import summarize_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import Look

#: What sets the lines of one detector apart, and how it is written.
SETTINGS = {"k": "k", "temperature": "T", "epsilon": "ε"}
#: Of a detector with more settings, as ODIN in a grid, only the first so many are drawn; of more
#: sets of outliers only the means over sets, as each panel has a mark a detector and group.
MOST, MOST_SETS = 3, 4

#: A line: the detector, and the values of all `SETTINGS`, None where it has none.
Line = tuple[Any, ...]


@figure(
    "AUROC of each detector",
    caption="Area under the ROC curve of each detector against each set of outliers; at the dotted "
    "line it guesses. Marks are means over seeds with one standard deviation, or one network's "
    "with its interval (same network, new images; 95 % unless --level says else). Of a detector "
    "with more than three settings the first three are drawn, of more than four sets of outliers "
    "the means over sets.",
    evaluator="ood",
    metrics=("auroc",),
)
def detector_auroc(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel a set of outliers, a line a detector, a mark a group; None of more than six."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import PAGE, looks, plain, room

    rows = where(results, evaluator="ood", metric="auroc", grid=None)
    rows = rows[rows["outliers"].notna()]
    sets, lines, groups = sets_of(rows), lines_of(rows), group_names(rows)
    if not 0 < len(groups) <= SOME:  # the marks of more cannot be told apart on a line
        return None
    style = looks(group_names(results), with_sd_dropout(results))
    width, columns, down = room(len(sets), narrow=2)
    height = (0.16 + 0.05 * (len(groups) - 1)) * len(lines) + 0.5
    drawn = Figure(figsize=(width, min(height * down + 0.2, PAGE - 1.2)), layout="constrained")
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


def sets_of(rows: pandas.DataFrame) -> list[str]:
    """The sets of outliers that have a panel: all of few, else their averages if there are any."""
    sets = outlier_sets(rows)
    means = [name for name in sets if name.startswith("average")]
    return sets if len(sets) <= MOST_SETS else (means or sets)[:MOST_SETS]


def lines_of(rows: pandas.DataFrame) -> list[Line]:
    """The detectors with their settings, in the order of the runs."""
    found: dict[Any, list[Line]] = {}
    places = rows.reindex(columns=["detector", *SETTINGS]).drop_duplicates()
    for place in places.itertuples(index=False, name=None):
        line = (place[0], *(None if value != value else value for value in place[1:]))
        if line not in found.setdefault(place[0], []):
            found[place[0]].append(line)
    return [line for own in found.values() for line in own[:MOST]]


def _name(line: Line, lines: list[Line]) -> str:
    """The detector, and where it has several lines what sets this one apart."""
    like = [each for each in lines if each[0] == line[0]]
    words = [str(line[0]).replace("_", " ")]
    for index, sign in enumerate(SETTINGS.values(), start=1):
        if line[index] is not None and len({each[index] for each in like}) > 1:
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
    for index, group in enumerate(groups):
        shift = (index - (len(groups) - 1) / 2) * 0.7 / len(groups)
        found = {place: mark_of(own) for place, own in _by_line(where(rows, group=group), lines)}
        told = [f"{plain(group)}, {names[place]}: {mark.words}" for place, mark in found.items()]
        places, name = [place + shift for place in found], f"_{plain(group)}"
        _draw(axes, places, [*found.values()], style[group], name, told)
    axes.margins(x=0.08)


def _by_line(rows: pandas.DataFrame, lines: list[Line]) -> Iterator[tuple[int, pandas.DataFrame]]:
    """The rows of each line that has some, by its place."""
    for place, line in enumerate(lines):
        own = where(rows, **dict(zip(("detector", *SETTINGS), line, strict=True)))
        if not own.empty:
            yield place, own


@dataclass(frozen=True)
class Mark:
    """A value with the ends of its whisker, NaN where they are not known, and in words."""

    value: float
    low: float
    high: float
    words: str


def mark_of(rows: pandas.DataFrame) -> Mark:
    """The mean of one group with the deviation over seeds, or one network's with its interval."""
    value = summarize_seeds(rows["value"])
    if value.n > 1:
        ends = (value.mean - value.std, value.mean + value.std)
        return Mark(value.mean, *ends, f"{value.mean:.3f} ± {value.std:.3f}")
    low, high = (float(rows[end].iloc[0]) for end in ("low", "high"))
    interval = "" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    return Mark(value.mean, low, high, f"{value.mean:.3f}{interval}")


def _draw(
    axes: Axes, places: list[float], marks: list[Mark], look: Look, name: str, told: list[str]
) -> None:
    """All marks of a group in a panel at once: artists of their own are long in a page's SVG."""
    if not marks:
        return
    ends = [(each.value - each.low, each.high - each.value) for each in marks]
    whiskers = [(0.0, 0.0) if math.isnan(sum(end)) else end for end in ends]
    bars = axes.errorbar(
        [each.value for each in marks],
        places,
        xerr=list(zip(*whiskers, strict=True)),
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        elinewidth=0.9,
        markersize=3.5,
        label=name,
    )
    tell(bars.lines[0], told.__getitem__)


def _handle(look: Look) -> Any:
    """A mark for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", markersize=4)
