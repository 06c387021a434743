"""Forest plot of the differences in the verdict table, in units of the smallest detectable one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdd_eval.figures import Plot
from sdd_eval.figures.layout import Interval, interval_markers, legend, offset, single_panel
from sdd_eval.figures.style import DOUBLE, GRID, MUTED, SINGLE, GroupStyle, plain_text, styles_of
from sdd_eval.report.tables.verdicts import DifferenceLine, VerdictTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Differences beyond this multiple of the detectable one are drawn at the edge.
EDGE = 5.0


def table_styles(table: VerdictTable) -> list[GroupStyle]:
    """Return the style of each group of a verdict table, the same as in other figures."""
    parts = {id(row.comparison): row.comparison for row in table.groups}
    styles = {key: styles_of(part.results) for key, part in parts.items()}
    return [styles[id(row.comparison)][row.group] for row in table.groups]


def forest_plot(table: VerdictTable, styles: Sequence[GroupStyle]) -> Plot:
    """Return the figure that draws the numbers of a verdict table."""
    return Plot(
        lambda results, arrays: _forest(table, styles),
        "Differences in detectable differences",
        "Difference of each group from the one that it is compared with, right of zero where it is "
        "better, in units of the smallest difference that would have been detected (power 80 %): "
        "in the grey band a true difference would probably be missed. Bars: 95 % intervals. Filled "
        "if better or worse by the verdict. Differences beyond five units are drawn at the edge.",
    )


def _forest(table: VerdictTable, styles: Sequence[GroupStyle]) -> Figure | None:
    """Draw a line per metric, with a marker per compared group."""
    rows = [row for row in table.rows if any(line.points for line in row.lines)]
    groups = list(dict.fromkeys(line.group for row in rows for line in row.lines if line.points))
    if not groups:
        return None
    drawn, axes = single_panel((0.17 + 0.045 * (len(groups) - 1)) * len(rows) + 0.6)
    axes.axvspan(-1, 1, color=GRID, alpha=0.5, zorder=0, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    titles = [f"{row.column.title} {row.column.arrow}".strip() for row in rows]
    axes.set_yticks(range(len(rows)), [plain_text(title, 26) for title in titles])
    for index, group in enumerate(groups):
        label, shift = plain_text(table.groups[group].group), offset(index, len(groups), 0.7)
        marks = [
            _mark(y + shift, f"{label}, {titles[y]}", line)
            for y, row in enumerate(rows)
            for line in row.lines
            if line.group == group and line.points
        ]
        interval_markers(axes, marks, styles[group], label)
    narrow = drawn.get_figwidth() < (SINGLE + DOUBLE) / 2
    axes.set(
        xlabel="In detectable differences" + ("\n" if narrow else " ") + "(← worse, better →)",
        xlim=(-EDGE - 0.3, EDGE + 0.3),
        ylim=(len(rows) - 0.4, -0.6),
    )
    legend(drawn, axes.get_legend_handles_labels(), "upper")
    return drawn


def _mark(y: float, label: str, line: DifferenceLine) -> Interval:
    """Return the marker of a difference, filled if it has a verdict, at most at the edge."""
    low, value, high = (min(max(end, -EDGE), EDGE) for end in line.points)
    text = f"{label}: {line.text}, {line.verdict}"
    return Interval(y, value, low, high, text, filled=line.verdict in ("better", "worse"))
