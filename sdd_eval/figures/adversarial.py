"""Accuracy under FGSM, other attacks, and the gradient-masking audit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import (
    accuracy_by_epsilon,
    group_bars,
    group_line,
    legend,
    mean_line,
    panel_grid,
    percent_ticks,
)
from sdd_eval.figures.selection import (
    distinct_numbers,
    fgsm_rows,
    group_names,
    preferred_number,
    spreads,
    where,
)
from sdd_eval.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    GroupStyle,
    group_title,
    plain_text,
    styles_of,
    written_name,
)
from sdd_eval.metrics.names import display_name
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
    grid = panel_grid(len(settings), narrow=2)
    figure, panels = grid.figure(2.3 * grid.rows, sharey=True)
    styles = styles_of(results)
    before = where(results, evaluator="attack", metric="attack_right_before")
    for axes, setting in zip(panels, settings, strict=True):
        selected = where(rows, **dict(zip(_SETTING, setting, strict=True)))
        _attack_panel(axes, selected, before, styles)
        similar = [other for other in settings if other[:-1] == setting[:-1]]
        title = _attack_title(setting, with_parameters=len(similar) > 1)
        axes.set(title=plain_text(title, round(13 * grid.panel_width)), ylim=(-0.02, 1.03))
        percent_ticks(axes)
    grid.label(panels, y=metric("accuracy").title)
    legend(figure, panels[0].get_legend_handles_labels())
    return figure


def _column(rows: pandas.DataFrame, name: str) -> list[Any]:
    if name not in rows:
        return [None] * len(rows)
    return [None if value is None or value != value else value for value in rows[name]]


def _attack_title(setting: tuple[Any, ...], with_parameters: bool) -> str:
    """Return the attack and its settings, with the less common ones if requested."""
    attack, _, steps, restarts, parameters = setting
    words = [display_name(attack)]
    words += [f"{steps:g} steps"] if steps is not None else []
    words += [f"{restarts:g} restarts"] if restarts is not None and restarts > 1 else []
    return ", ".join([*words, *([str(parameters)] if with_parameters else [])])


def _attack_panel(
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


@figure(
    "Gradient-masking audit",
    caption="""Accuracy under each attack of the audit, and under the worst of them for each image
    (thick), against the radius ε of the ball (L∞, pixels of [0, 1]; logarithmic); one panel per
    group, mean over its networks, logits at temperature 1. A weaker attack below a stronger one
    indicates masked gradients; the titles list the flags raised, if any.""",
    evaluator="attack",
    metrics=("audit_accuracy", "audit_worst_case", "audit_flag"),
)
def audit_curves(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per group, with a line per attack."""
    rows = where(results, evaluator="attack", temperature=1.0)
    rows = rows[rows["metric"].isin(("audit_accuracy", "audit_worst_case"))]
    if rows.empty:
        return None
    groups = group_names(rows)
    attacks = list(dict.fromkeys(where(rows, metric="audit_accuracy")["attack"]))
    grid = panel_grid(len(groups), narrow=2 if len(groups) <= 4 else 3)
    figure, panels = grid.figure(2.4 * grid.rows, sharex=True, sharey=True)
    for axes, group in zip(panels, groups, strict=True):
        _audit_panel(axes, where(rows, group=group), attacks)
        axes.set_title(_audit_title(results, group, round(11 * grid.panel_width)))
    first, radii = panels[0], distinct_numbers(rows, "epsilon")
    first.set(xscale="log", ylim=(-0.02, 1.03))
    step = math.ceil(0.3 * len(radii) / grid.panel_width)
    labels = [_radius(e) if index % step == 0 else "" for index, e in enumerate(radii)]
    first.set_xticks(radii, labels, minor=False)
    first.set_xticks([], minor=True)
    percent_ticks(first, step=25 if grid.rows < 3 else 50)
    for axes in panels:
        axes.fmt_xdata, axes.fmt_ydata = _radius, first.fmt_ydata
    grid.label(panels, "ε · 255", metric("accuracy").title)
    legend(figure, first.get_legend_handles_labels())
    return figure


def _radius(epsilon: float) -> str:
    return f"{255 * epsilon:g}"


def _audit_title(results: pandas.DataFrame, group: str, longest: int) -> str:
    flags = where(results, evaluator="attack", metric="audit_flag", group=group)
    raised = dict.fromkeys(str(flag) for flag in flags[flags["value"] > 0]["flag"])
    words = ", ".join(raised).replace("_", " ") or ("no flag raised" if longest > 13 else "")
    return f"{group_title(group, longest)}\n{plain_text(words, longest)}".rstrip()


def _audit_panel(axes: Axes, rows: pandas.DataFrame, attacks: list[str]) -> None:
    for index, attack in enumerate(attacks):
        values = spreads(where(rows, metric="audit_accuracy", attack=attack), "epsilon")
        mean_line(
            axes,
            values,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linewidth=0.9,
            markersize=3.2,
            label=written_name(attack, 24),
        )
    values = spreads(where(rows, metric="audit_worst_case"), "epsilon")
    line = {"linewidth": 2.2, "linestyle": "--", "marker": "_", "zorder": 1.5}
    mean_line(axes, values, color=INK, label="worst case", **line)


#: Title and unit of ε of each variant.
VARIANTS = {
    "authors": ("Authors' implementation", "ε, standardised"),
    "standardised": ("Standardised space", "ε, standardised"),
    "pixel": ("Pixel space", "ε, pixels"),
}
CONTROL = "random signs"


@figure(
    "Accuracy under FGSM",
    caption="""Accuracy after one signed-gradient step of size ε, in three variants that must not be
    compared with each other: the authors' (predicted labels, values clipped in standardised space),
    the same step with true labels and valid images, and the step in pixel space ([0, 1]). The
    gradient is computed without underflow, at temperature 1; of several standardisation constants
    the most common. Whiskers: one standard deviation over seeds. Hollow: the control, a step of the
    same size with random signs.""",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_random_sign_accuracy"),
)
def fgsm_curve(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw accuracy against ε with a line per group (Goodfellow et al. 2015)."""
    rows, attacked, variants = fgsm_rows(results, VARIANTS)
    if attacked.empty:
        return None
    grid, styles = panel_grid(len(variants), narrow=3), styles_of(results)
    figure, panels = grid.figure(2.2, sharey=True)
    for axes, variant in zip(panels, variants, strict=True):
        of_variant = where(rows, variant=variant)
        _fgsm_panel(axes, of_variant, where(attacked, variant=variant), styles)
        title, unit = _variant(variant, grid.panel_width)
        axes.set(title=title, xlabel=unit, ylim=(-0.02, 1.03))
        percent_ticks(axes)
    grid.label(panels, y=metric("accuracy").title)
    legend(figure, _fgsm_legend(panels))
    return figure


def _fgsm_panel(
    axes: Axes, rows: pandas.DataFrame, attacked: pandas.DataFrame, styles: dict[str, GroupStyle]
) -> None:
    for group in group_names(attacked):
        of_group, style = where(rows, group=group), styles[group]
        clean = where(of_group, metric="fgsm_right_before")
        points = accuracy_by_epsilon(where(attacked, group=group), clean)
        group_line(axes, points, style, markersize=3.2, label=plain_text(group))
        control = where(of_group, metric="fgsm_random_sign_accuracy")
        points = accuracy_by_epsilon(control, control.head(0))
        if points:
            mean_line(
                axes,
                points,
                color=style.colour,
                linestyle=":" if len(points) > 1 else "none",
                marker=style.marker,
                markerfacecolor="none",
                markersize=2.6,
                linewidth=0.9,
                label=CONTROL,
            )


def _fgsm_legend(panels: Any) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles.pop(CONTROL, None) is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3, "linestyle": "none"}
        handles[CONTROL] = Line2D([], [], color=MUTED, marker="o", **hollow)
    return list(handles.values()), list(handles)


def _variant(name: str, width: float) -> tuple[str, str]:
    """Return the title of a variant, on two lines in a narrow panel, and the unit of its ε."""
    title, unit = VARIANTS.get(name, (written_name(name, 24), "ε"))
    return (title if len(title) < 13 * width else title.replace(" ", "\n", 1)), unit


#: The preferred step size, which is that of the paper's Figure 3.
EPSILON = 0.2


@figure(
    "Accuracy under FGSM at one ε",
    caption="""Accuracy before and after one signed-gradient step of ε = 0.2 (the paper's Figure 3;
    otherwise the smallest ε measured); a panel for each variant of FGSM, which must not be compared
    with each other; of several standardisation constants the most common. Whiskers: one standard
    deviation over seeds.""",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_right_before"),
    repeats="fgsm_curve",
)
def fgsm_bars(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a panel per variant, with a cluster of bars without attack and one under attack."""
    rows, attacked, _ = fgsm_rows(results, VARIANTS)
    if attacked.empty:
        return None
    epsilon = preferred_number(attacked, "epsilon", EPSILON)
    _, attacked, variants = fgsm_rows(where(attacked, epsilon=epsilon), VARIANTS)
    groups, styles = group_names(attacked), styles_of(results)
    grid = panel_grid(len(variants), narrow=3)
    figure, panels = grid.figure(2.2, sharey=True)
    for axes, variant in zip(panels, variants, strict=True):
        before = where(rows, metric="fgsm_right_before", variant=variant)
        ends = [spreads(part, "group") for part in (before, where(attacked, variant=variant))]
        for index, group in enumerate(groups):
            heights = [values.get(group) for values in ends]
            style, label = styles[group], plain_text(group)
            group_bars(axes, heights, index, len(groups), style, label, elinewidth=0.8)
        axes.set_xticks([0, 1], ["clean", f"ε = {epsilon:g}"])
        title, unit = _variant(variant, grid.panel_width)
        axes.set(ylim=(0, 1), title=title, xlabel=unit)
        percent_ticks(axes)
        axes.grid(False, axis="x")
    grid.label(panels, y=metric("accuracy").title)
    legend(figure, panels[0].get_legend_handles_labels())
    return figure
