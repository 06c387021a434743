"""What SD-Dropout changes under each corruption, with the interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.marks import tell
from sdd_eval.figures.selection import (
    baselines,
    benchmark_order,
    group_names,
    where,
    with_sd_dropout,
)
from sdd_eval.statistics.seeds import difference

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import Look
    from sdd_eval.statistics.seeds import Difference


@figure(
    "What SD-Dropout changes under each corruption",
    caption="Change of accuracy in percentage points against the same method without SD-Dropout, "
    "mean over the severities of each corruption; right of zero SD-Dropout is better. Bars: "
    "Welch's 95 % interval over seeds of each difference by itself, none where a side has a single "
    "network. Filled where the interval excludes zero.",
    evaluator="corruption",
    metrics=("accuracy",),
)
def corruption_differences(
    results: pandas.DataFrame, arrays: Arrays | None = None
) -> Figure | None:
    """A line a corruption, a mark a pair of groups."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import MUTED, looks, plain, room

    rows = where(results, evaluator="corruption", metric="accuracy", severity=None)
    rows = rows[rows["corruption"].notna()]
    pairs = baselines(rows)
    if rows.empty or not pairs:
        return None
    names = benchmark_order(rows["corruption"])
    style = looks(group_names(results), with_sd_dropout(results))
    line = 0.17 + 0.05 * (len(pairs) - 1)
    drawn = Figure(figsize=(room(1)[0], line * len(names) + 0.55), layout="constrained")
    axes = drawn.subplots()
    axes.set_yticks(range(len(names)), [plain(name.replace("_", " "), 22) for name in names])
    for index, (group, base) in enumerate(pairs.items()):
        shift = (index - (len(pairs) - 1) / 2) * 0.7 / len(pairs)
        changes = differences(rows, base, group)
        _marks(
            axes,
            [changes.get(name) for name in names],
            shift,
            style[group],
            f"{plain(group, 26)} against {plain(base, 20)}",
        )
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.set(xlabel="Change of accuracy (points)", ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.05)
    handles, labels = axes.get_legend_handles_labels()
    legend(drawn, handles, labels, "upper")
    return drawn


def differences(rows: pandas.DataFrame, base: str, other: str) -> dict[str, Difference]:
    """`other` minus `base` for each corruption that both have, in points."""
    sides = []
    for group in (base, other):
        found = where(rows, group=group).groupby("corruption")["value"]
        sides.append({str(name): 100 * values for name, values in found})
    return {
        name: difference(sides[0][name], sides[1][name]) for name in sides[0] if name in sides[1]
    }


def _marks(
    axes: Axes, changes: list[Difference | None], shift: float, look: Look, label: str
) -> None:
    """A mark and an interval a line; the first carries the label of the legend."""
    first = True
    for place, change in enumerate(changes):
        if change is None:
            continue
        known = not math.isnan(change.low)
        bars = axes.errorbar(
            [change.value],
            [place + shift],
            xerr=[[change.value - change.low], [change.high - change.value]] if known else None,
            color=look.colour,
            marker=look.marker,
            markerfacecolor=look.colour if change.excludes_zero else "white",
            linestyle="none",
            elinewidth=0.9,
            markersize=4,
            label=label if first else f"_{label}",
        )
        name = axes.get_yticklabels()[place].get_text()
        tell(bars.lines[0], _words(f"{label}, {name}: {_shown(change)}"))
        first = False


def _words(text: str) -> Callable[[Any], str]:
    return lambda _: text


def _shown(change: Difference) -> str:
    """A change in points with its interval."""
    text = f"{change.value:+.1f} points"
    if not math.isnan(change.low):
        text += f" ({100 * change.level:g} % interval {change.low:+.1f} to {change.high:+.1f})"
    return text.replace("-", "−")
