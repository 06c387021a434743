"""AUROC of each OOD detector against each OOD set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import Interval, interval_markers, legend, offset, panel_grid
from sdd_eval.figures.ood import MANY_GROUPS, ood_sets
from sdd_eval.figures.selection import group_names, where
from sdd_eval.figures.style import MUTED, GroupStyle, plain_text, styles_of, written_name
from sdd_eval.metrics.formatting import format_interval, format_mean, format_value
from sdd_eval.metrics.names import display_name
from sdd_eval.metrics.registry import metric
from sdd_eval.statistics.seeds import summarize_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The settings that distinguish the lines of one detector, and their symbols.
SETTINGS = {"k": "k", "temperature": "T", "epsilon": "ε"}
#: Maximum number of settings per detector, and of OOD sets, before only means are drawn.
MAX_SETTINGS, MAX_SETS = 3, 4

#: A detector and the values of all `SETTINGS`, None if it does not have one.
Line = tuple[Any, ...]


@figure(
    "AUROC by OOD detector",
    caption="""Area under the ROC curve of each detector on each OOD set; the dotted line is chance.
    Markers are means over seeds with one standard deviation, or a single network with its interval
    (same network, new images; 95 % unless --level says otherwise). Of a detector with more than
    three settings the first three are drawn; with more than four OOD sets, the means over sets.""",
    evaluator="ood",
    metrics=("auroc",),
)
def detector_auroc(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per OOD set, with a line per detector and a marker per group, up to six."""
    from matplotlib.lines import Line2D

    rows = where(results, evaluator="ood", metric="auroc", grid=None)
    rows = rows[rows["outliers"].notna()]
    sets, lines, groups = sets_of(rows), lines_of(rows), group_names(rows)
    if not 0 < len(groups) <= MANY_GROUPS:
        return None
    styles, grid = styles_of(results), panel_grid(len(sets), narrow=2)
    height = (0.16 + 0.05 * (len(groups) - 1)) * len(lines) + 0.5
    figure, panels = grid.figure(height * grid.rows + 0.2, sharex=True, sharey=True)
    names = [plain_text(_name(line, lines), 18) for line in lines]
    panels[0].set_yticks(range(len(lines)), names)
    panels[0].set(ylim=(len(lines) - 0.4, -0.6))
    for axes, name in zip(panels, sets, strict=True):
        axes.set_title(written_name(name, round(10 * grid.panel_width)))
        _panel(axes, where(rows, outliers=name), lines, names, styles)
    figure.supxlabel(metric("auroc").title)
    dot: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    shown = [styles[group] for group in groups]
    handles = [Line2D([], [], color=s.colour, marker=s.marker, **dot) for s in shown]
    legend(figure, (handles, [plain_text(group) for group in groups]), "upper")
    return figure


def sets_of(rows: pandas.DataFrame) -> list[str]:
    """Return the OOD sets that get a panel: all if there are few, else their averages, if any."""
    sets = ood_sets(rows)
    averages = [name for name in sets if name.startswith("average")]
    return sets if len(sets) <= MAX_SETS else (averages or sets)[:MAX_SETS]


def lines_of(rows: pandas.DataFrame) -> list[Line]:
    """Return the detectors with their settings in the order of the runs."""
    by_detector: dict[Any, list[Line]] = {}
    distinct = rows.reindex(columns=["detector", *SETTINGS]).drop_duplicates()
    for values in distinct.itertuples(index=False, name=None):
        line = (values[0], *(None if value != value else value for value in values[1:]))
        if line not in by_detector.setdefault(values[0], []):
            by_detector[values[0]].append(line)
    return [line for lines in by_detector.values() for line in lines[:MAX_SETTINGS]]


def _name(line: Line, lines: list[Line]) -> str:
    """Return the name of a detector, with the settings in which its lines differ."""
    same = [other for other in lines if other[0] == line[0]]
    words = [display_name(line[0])]
    for index, sign in enumerate(SETTINGS.values(), start=1):
        if line[index] is not None and len({other[index] for other in same}) > 1:
            words.append(f"{sign} {line[index]:g}")
    return " ".join(words)


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    lines: list[Line],
    names: list[str],
    styles: dict[str, GroupStyle],
) -> None:
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    groups = group_names(rows)
    for index, group in enumerate(groups):
        marks = []
        for y, line in enumerate(lines):
            settings = dict(zip(("detector", *SETTINGS), line, strict=True))
            of_line = where(rows, group=group, **settings)
            if not of_line.empty:
                label = f"{plain_text(group)}, {names[y]}"
                marks.append(_mark(y + offset(index, len(groups), 0.7), of_line, label))
        interval_markers(axes, marks, styles[group], f"_{plain_text(group)}", markersize=3.5)
    axes.margins(x=0.08)


def _mark(y: float, rows: pandas.DataFrame, label: str) -> Interval:
    """Return a group's mean with its standard deviation over seeds, or one network's interval."""
    value, entry = summarize_seeds(rows["value"]), metric("auroc")
    if value.n > 1:
        text = format_mean(entry, value, unit=True)
        ends = (value.mean - value.std, value.mean + value.std)
        return Interval(y, value.mean, *ends, f"{label}: {text}")
    low, high = (float(rows[end].iloc[0]) for end in ("low", "high"))
    interval = "" if math.isnan(low) else f" [{format_interval(entry, low, high)}]"
    text = f"{label}: {format_value(entry, value.mean)}{interval}"
    return Interval(y, value.mean, low, high, text)
