"""Change of accuracy by SD-Dropout under each corruption, with the interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import legend, single_panel
from sdd_eval.figures.marks import set_mark_text
from sdd_eval.figures.selection import baselines, benchmark_order, where
from sdd_eval.figures.series import offset
from sdd_eval.figures.style import MUTED, GroupStyle, plain_text, styles_of
from sdd_eval.metrics.formatting import format_difference, format_interval
from sdd_eval.metrics.registry import metric
from sdd_eval.statistics.seeds import Difference, adjust, difference

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "Change of accuracy by SD-Dropout under each corruption",
    caption="""Change of accuracy in percentage points relative to the same method without
    SD-Dropout, mean over the severities of each corruption; right of zero SD-Dropout is better.
    Bars: Welch's 95 % interval over seeds of each difference by itself, none if a side has a single
    network. Filled if significant: the interval excludes zero, and the p-value, Holm–Bonferroni-
    adjusted over all differences of the figure, is at most .05.""",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_differences(
    results: pandas.DataFrame, arrays: RunArrays | None = None
) -> Figure | None:
    """Draw a line per corruption, with a marker per pair of groups."""
    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    pairs = baselines(rows)
    if rows.empty or not pairs:
        return None
    names = benchmark_order(rows["corruption"])
    labels = [plain_text(name.replace("_", " "), 22) for name in names]
    styles = styles_of(results)
    line = 0.17 + 0.05 * (len(pairs) - 1)
    figure, axes = single_panel(line * len(names) + 0.55)
    axes.set_yticks(range(len(names)), labels)
    for index, ((group, base), changes) in enumerate(differences(rows, pairs).items()):
        shift = offset(index, len(pairs), 0.7)
        known = {
            y: (names_label, changes[name])
            for y, (name, names_label) in enumerate(zip(names, labels, strict=True))
            if name in changes
        }
        label = f"{plain_text(group, 26)} against {plain_text(base, 20)}"
        _markers(axes, known, shift, styles[group], label)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.set(xlabel="Change of accuracy (points)", ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.05)
    legend(figure, axes.get_legend_handles_labels(), "upper")
    return figure


def differences(
    rows: pandas.DataFrame, pairs: Mapping[str, str]
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Return each group minus its base in points, for each corruption that both have.

    `pairs` maps groups to bases. P-values are adjusted over all differences.
    """
    values = {
        group: {str(name): 100 * value for name, value in of_group.groupby("corruption")["value"]}
        for group, of_group in rows.groupby("group")
    }
    keys = [(pair, name) for pair in pairs.items() for name in values[pair[1]]]
    keys = [(pair, name) for pair, name in keys if name in values[pair[0]]]
    changes = adjust([difference(values[b][name], values[g][name]) for (g, b), name in keys])
    by_pair: dict[tuple[str, str], dict[str, Difference]] = {pair: {} for pair in pairs.items()}
    for (pair, name), change in zip(keys, changes, strict=True):
        by_pair[pair][name] = change
    return by_pair


def _markers(
    axes: Axes,
    changes: dict[int, tuple[str, Difference]],
    shift: float,
    style: GroupStyle,
    label: str,
) -> None:
    """Draw a marker and an interval per line; only the first has a label for the legend."""
    for index, (y, (name, change)) in enumerate(changes.items()):
        known = not math.isnan(change.low)
        bars = axes.errorbar(
            [change.value],
            [y + shift],
            xerr=[[change.value - change.low], [change.high - change.value]] if known else None,
            color=style.colour,
            marker=style.marker,
            markerfacecolor=style.colour if change.verdict in ("higher", "lower") else "white",
            linestyle="none",
            elinewidth=0.9,
            markersize=4,
            label=f"_{label}" if index else label,
        )
        text = f"{label}, {name}: {_formatted(change)}"
        set_mark_text(bars.lines[0], lambda _, text=text: text)  # type: ignore[misc]


def _formatted(change: Difference) -> str:
    accuracy = metric("accuracy")
    value, low, high = (end / 100 for end in (change.value, change.low, change.high))
    text = format_difference(accuracy, value)
    if not math.isnan(low):
        interval = format_interval(accuracy, low, high, sign=True)
        text += f" ({100 * change.level:g} % interval {interval})"
    return text
