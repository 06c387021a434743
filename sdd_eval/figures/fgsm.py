"""Accuracy under FGSM in each variant of the attack: against ε as lines, at one ε as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import label_rows, legend, panel_grid, percent_ticks, single_panel
from sdd_eval.figures.selection import fgsm_rows, group_names, preferred_number, spreads, where
from sdd_eval.figures.series import accuracy_by_epsilon, group_bars, group_line, mean_line
from sdd_eval.figures.style import MUTED, GroupStyle, plain_text, styles_of
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Title and unit of ε of each variant.
VARIANTS = {
    "authors": ("Authors' implementation", "ε, standardised"),
    "standardised": ("Standardised space", "ε, standardised"),
    "pixel": ("Pixel space", "ε, pixels in [0, 1]"),
}
CONTROL = "random signs"


@figure(
    "Accuracy under FGSM",
    caption="""Accuracy after one signed-gradient step of size ε, in three variants that must not be
    compared with each other: the authors' (predicted labels, values clipped in standardised space),
    the same step with true labels and valid images, and the step in pixel space. The gradient is
    computed without underflow, at temperature 1; of several standardisation constants the most
    common. Whiskers: one standard deviation over seeds. Hollow: the control, a step of the same
    size with random signs.""",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_random_sign_accuracy"),
)
def fgsm_curve(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw accuracy against ε with a line per group (Goodfellow et al. 2015)."""
    rows, attacked, variants = fgsm_rows(results, VARIANTS)
    if attacked.empty:
        return None
    grid = panel_grid(len(variants))
    figure, panels = grid.figure(0.2 + 2.0 * grid.rows, sharey=True)
    styles = styles_of(results)
    for axes, variant in zip(panels.flat, variants, strict=False):
        of_variant = where(rows, variant=variant)
        _panel(axes, of_variant, where(attacked, variant=variant), styles)
        title, unit = VARIANTS.get(variant, (plain_text(variant, 24), "ε"))
        axes.set(title=title, xlabel=unit, ylim=(-0.02, 1.03))
        percent_ticks(axes)
    label_rows(panels, metric("accuracy").title)
    legend(figure, _legend(panels.flat[: len(variants)]))
    return figure


def _panel(
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


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles.pop(CONTROL, None) is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3, "linestyle": "none"}
        handles[CONTROL] = Line2D([], [], color=MUTED, marker="o", **hollow)
    return list(handles.values()), list(handles)


#: The preferred step size, which is that of the paper's Figure 3.
EPSILON = 0.2
BAR_LABELS = {"authors": "authors'\nstep", "standardised": "standard-\nised", "pixel": "pixels"}
CLEAN = "no attack"


@figure(
    "Accuracy under FGSM at one ε",
    caption="""Accuracy before and after one signed-gradient step of ε = 0.2 (the paper's Figure 3;
    otherwise the smallest ε measured), in variants of FGSM that must not be compared with each
    other; of several standardisation constants the most common. Whiskers: one standard deviation
    over seeds.""",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_right_before"),
)
def fgsm_bars(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a cluster of bars without attack and one per variant."""
    rows, attacked, variants = fgsm_rows(results, BAR_LABELS)
    if attacked.empty:
        return None
    epsilon = preferred_number(attacked, "epsilon", EPSILON)
    attacked = where(attacked, epsilon=epsilon)
    variants = [name for name in variants if name in set(attacked["variant"])]
    before = where(rows, metric="fgsm_right_before", variant=variants[0])
    groups, styles = group_names(attacked), styles_of(results)
    figure, axes = single_panel(2.2)
    for index, group in enumerate(groups):
        clean = spreads(where(before, group=group), "group").get(group)
        after = spreads(where(attacked, group=group), "variant")
        heights = [clean, *(after.get(name) for name in variants)]
        style, label = styles[group], plain_text(group)
        group_bars(axes, heights, index, len(groups), style, label, elinewidth=0.8, capsize=2)
    labels = [CLEAN, *(BAR_LABELS.get(name, plain_text(name, 12)) for name in variants)]
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylim=(0, 1), ylabel=metric("accuracy").title, title=f"FGSM, ε = {epsilon:g}")
    percent_ticks(axes)
    axes.grid(False, axis="x")
    legend(figure, axes.get_legend_handles_labels())
    return figure
