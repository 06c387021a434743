"""Accuracy under each attack that was run, against the size of its ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import (
    distinct_numbers,
    group_names,
    spreads,
    where,
    with_sd_dropout,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "Accuracy under attack",
    caption="Share of images that are right before and after the attack, against the size ε of its "
    "ball in pixels of [0, 1]; a panel an attack with its settings, true labels, logits at "
    "temperature 1. Whiskers: one standard deviation over seeds. ε = 0 is the accuracy before.",
    evaluator="attack",
    metrics=("attack_right_before", "attack_accuracy"),
)
def attack_curves(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A panel an attack, a line a group."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import looks, percent, plain, room

    rows = where(results, evaluator="attack", metric="attack_accuracy", temperature=1.0)
    rows = rows[rows["epsilon"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    panels = list(dict.fromkeys(zip(*(_column(rows, name) for name in _SETTING), strict=True)))
    width, columns, lines = room(len(panels))
    drawn = Figure(figsize=(width, 2.3 * lines), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharey=True)
    style = looks(group_names(results), with_sd_dropout(results))
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    before = where(results, evaluator="attack", metric="attack_right_before")
    for axes, setting in zip(grid.flat, panels, strict=False):
        chosen = where(rows, **dict(zip(_SETTING, setting, strict=True)))
        _panel(axes, chosen, before, style)
        alike = [each for each in panels if each[:-1] == setting[:-1]]
        title = _title(setting, with_parameters=len(alike) > 1)
        axes.set(title=plain(title, round(13 * width / columns)), ylim=(-0.02, 1.03))
        percent(axes)
    for axes in grid[:, 0]:
        axes.set_ylabel("Accuracy")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend(drawn, handles, labels)
    return drawn


#: What tells one attack from another, besides ε.
_SETTING = ("attack", "norm", "steps", "restarts", "parameters")


def _column(rows: pandas.DataFrame, name: str) -> list[Any]:
    """A column's values, None where there is none."""
    if name not in rows:
        return [None] * len(rows)
    return [None if value is None or value != value else value for value in rows[name]]


def _title(setting: tuple[Any, ...], with_parameters: bool) -> str:
    """The attack and its settings; the less usual ones where two panels differ in them alone."""
    attack, _, steps, restarts, parameters = setting
    words = [str(attack)]
    words += [f"{steps:g} steps"] if steps is not None else []
    words += [f"{restarts:g} restarts"] if restarts is not None and restarts > 1 else []
    return ", ".join([*words, *([str(parameters)] if with_parameters else [])])


def _panel(
    axes: Axes, rows: pandas.DataFrame, before: pandas.DataFrame, style: dict[str, Any]
) -> None:
    """The lines of one attack."""
    from sdd_eval.figures.style import plain

    for group in group_names(rows):
        own = where(before, group=group)
        own = own[own["run"].isin(set(where(rows, group=group)["run"]))]
        clean = spreads(own.drop_duplicates("checkpoint"), "group")
        points = {0.0: clean[group]} if group in clean else {}
        for epsilon in distinct_numbers(where(rows, group=group), "epsilon"):
            points[epsilon] = spreads(where(rows, group=group, epsilon=epsilon), "group")[group]
        found = sorted(points.items())
        look = style[group]
        axes.errorbar(
            [255 * epsilon for epsilon, _ in found],
            [value.mean for _, value in found],
            yerr=[0.0 if value.n < 2 else value.std for _, value in found],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            capsize=2,
            markersize=3.2,
            elinewidth=0.8,
            label=plain(group),
        )
    axes.set(xlabel=f"ε · 255 ({rows['norm'].iloc[0].replace('Linf', 'L∞')})", xlim=(0, None))
    axes.margins(x=0.06)
