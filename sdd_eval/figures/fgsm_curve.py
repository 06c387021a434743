"""Accuracy under FGSM against ε, with one panel per variant of the attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend, panel_grid, percent_ticks
from sdd_eval.figures.selection import fgsm_rows, group_names, where
from sdd_eval.figures.series import accuracy_by_epsilon, group_line
from sdd_eval.figures.style import MUTED, GroupStyle, plain_text, styles_of

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
    caption="Accuracy after one signed-gradient step of size ε, in three variants that must not be "
    "compared with each other: the authors' (predicted labels, values clipped in standardised "
    "space), the same step with true labels and valid images, and the step in pixel space. The "
    "gradient is computed without underflow, at temperature 1; of several standardisation "
    "constants the most common. Whiskers: one standard deviation over seeds. Hollow: the control, "
    "a step of the same size with random signs.",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_random_sign_accuracy"),
)
def fgsm_curve(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
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
    for axes in panels[:, 0]:
        axes.set_ylabel("Accuracy")
    legend(figure, _legend(panels.flat[: len(variants)]))
    return figure


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    attacked: pandas.DataFrame,
    styles: dict[str, GroupStyle],
) -> None:
    for group in group_names(attacked):
        of_group, style = where(rows, group=group), styles[group]
        clean = where(of_group, metric="fgsm_right_before")
        points = accuracy_by_epsilon(where(attacked, group=group), clean)
        group_line(axes, points, style, markersize=3.2, label=plain_text(group))
        control = where(of_group, metric="fgsm_random_sign_accuracy")
        points = accuracy_by_epsilon(control, control.head(0))
        if points:
            axes.plot(
                list(points),
                [value.mean for value in points.values()],
                color=style.colour,
                linestyle=":" if len(points) > 1 else "none",
                marker=style.marker,
                markerfacecolor="none",
                markersize=2.6,
                linewidth=0.9,
                label=CONTROL,
            )


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    """Return the groups of all panels, and one entry for all controls."""
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles.pop(CONTROL, None) is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3, "linestyle": "none"}
        handles[CONTROL] = Line2D([], [], color=MUTED, marker="o", **hollow)
    return list(handles.values()), list(handles)
