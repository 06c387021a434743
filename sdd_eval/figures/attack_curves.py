"""Robust accuracy under each attack against the size of the perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import label_rows, legend, panel_grid, percent_ticks
from sdd_eval.figures.selection import group_names, where
from sdd_eval.figures.series import accuracy_by_epsilon, group_line
from sdd_eval.figures.style import GroupStyle, plain_text, styles_of
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The axes that distinguish attacks, besides ε.
_SETTING = ("attack", "norm", "steps", "restarts", "parameters")


@figure(
    "Robust accuracy under attack",
    caption="""Accuracy before (ε = 0) and after the attack against the radius ε of the ball, in
    pixels of [0, 1]; one panel per attack and its settings, true labels, logits at temperature 1.
    Whiskers: one standard deviation over seeds.""",
    evaluator="attack",
    metrics=("attack_right_before", "attack_accuracy"),
)
def attack_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per attack, with a line per group."""
    rows = where(results, evaluator="attack", metric="attack_accuracy", temperature=1.0)
    rows = rows[rows["epsilon"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    columns = (_column(rows, name) for name in _SETTING)
    settings = list(dict.fromkeys(zip(*columns, strict=True)))
    grid = panel_grid(len(settings))
    figure, panels = grid.figure(2.3 * grid.rows, sharey=True)
    styles = styles_of(results)
    before = where(results, evaluator="attack", metric="attack_right_before")
    for axes, setting in zip(panels.flat, settings, strict=False):
        selected = where(rows, **dict(zip(_SETTING, setting, strict=True)))
        _panel(axes, selected, before, styles)
        similar = [other for other in settings if other[:-1] == setting[:-1]]
        title = _title(setting, with_parameters=len(similar) > 1)
        axes.set(title=plain_text(title, round(13 * grid.panel_width)), ylim=(-0.02, 1.03))
        percent_ticks(axes)
    label_rows(panels, metric("accuracy").title)
    legend(figure, panels[0, 0].get_legend_handles_labels())
    return figure


def _column(rows: pandas.DataFrame, name: str) -> list[Any]:
    if name not in rows:
        return [None] * len(rows)
    return [None if value is None or value != value else value for value in rows[name]]


def _title(setting: tuple[Any, ...], with_parameters: bool) -> str:
    """Return the attack and its settings, with the less common ones if asked for."""
    attack, _, steps, restarts, parameters = setting
    words = [str(attack)]
    words += [f"{steps:g} steps"] if steps is not None else []
    words += [f"{restarts:g} restarts"] if restarts is not None and restarts > 1 else []
    return ", ".join([*words, *([str(parameters)] if with_parameters else [])])


def _panel(
    axes: Axes, rows: pandas.DataFrame, before: pandas.DataFrame, styles: dict[str, GroupStyle]
) -> None:
    for group in group_names(rows):
        of_group, clean = where(rows, group=group), where(before, group=group)
        clean = clean[clean["run"].isin(set(of_group["run"]))]
        points = accuracy_by_epsilon(of_group, clean)
        scaled = {255 * epsilon: value for epsilon, value in points.items()}
        group_line(axes, scaled, styles[group], markersize=3.2, label=plain_text(group))
    axes.set(xlabel=f"ε · 255 ({rows['norm'].iloc[0].replace('Linf', 'L∞')})", xlim=(0, None))
    axes.margins(x=0.06)
