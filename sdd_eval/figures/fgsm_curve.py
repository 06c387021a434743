"""Accuracy under FGSM against ε, one panel a reading of ε."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import (
    distinct_numbers,
    group_names,
    one_space,
    spreads,
    where,
    with_sd_dropout,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The readings of "ε = 0.2", with a title and the unit of the step.
READINGS = {
    "authors": ("As the authors ran it", "ε, standardised"),
    "standardised": ("Standardised space", "ε, standardised"),
    "pixel": ("Pixel space", "ε, pixels in [0, 1]"),
}

CONTROL = "the same step, random signs"


@figure(
    "Accuracy under FGSM",
    caption="Accuracy after one signed-gradient step of size ε, in three readings that must not be "
    "compared with each other: the authors' (predicted labels, values clipped in standardised "
    "space), the same step with true labels and valid images, and the step in pixels. The gradient "
    "is the one that does not underflow, at temperature 1; of several constants of standardisation "
    "the commonest. Whiskers: one standard deviation over "
    "seeds. Hollow: the same step with random signs, the control.",
    evaluator="fgsm",
    metrics=("fgsm_accuracy", "fgsm_random_sign_accuracy"),
)
def fgsm_curve(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """Accuracy against ε (Goodfellow et al. 2015), with and without SD-Dropout."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import looks, percent, plain, room

    rows = one_space(where(results, evaluator="fgsm", temperature=1.0))
    attacked = where(rows, metric="fgsm_accuracy", gradient="stable")
    if attacked.empty:
        return None
    rest = sorted(set(attacked["variant"]) - set(READINGS))
    readings = [name for name in READINGS if name in set(attacked["variant"])] + rest
    width, columns, lines = room(len(readings))
    drawn = Figure(figsize=(width, 0.2 + 2.0 * lines), layout="constrained")
    grid = drawn.subplots(lines, columns, squeeze=False, sharey=True)
    panels = grid.flat[: len(readings)]
    for axes in grid.flat[len(readings) :]:
        axes.set_axis_off()
    style = looks(group_names(results), with_sd_dropout(results))
    for axes, reading in zip(panels, readings, strict=True):
        _panel(axes, rows, attacked, reading, style)
        title, unit = READINGS.get(reading, (plain(reading, 24), "ε"))
        axes.set(title=title, xlabel=unit, ylim=(-0.02, 1.03))
        percent(axes)
    for axes in grid[:, 0]:
        axes.set_ylabel("Accuracy")
    handles, labels = _legend(panels)
    legend(drawn, handles, labels)
    return drawn


def _panel(
    axes: Axes,
    rows: pandas.DataFrame,
    attacked: pandas.DataFrame,
    reading: str,
    style: dict[str, Any],
) -> None:
    """One reading: a line a group, and its control."""
    from sdd_eval.figures.style import plain

    for group in group_names(attacked):
        look = style[group]
        chosen = where(attacked, variant=reading, group=group)
        xs, means, stds = _curve(chosen, where(rows, variant=reading, group=group))
        axes.errorbar(
            xs,
            means,
            yerr=stds,
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            capsize=2,
            markersize=3.2,
            elinewidth=0.8,
            label=plain(group),
        )
        control = where(rows, metric="fgsm_random_sign_accuracy", variant=reading, group=group)
        xs, means, _ = _curve(control, control.head(0))
        if xs:
            axes.plot(
                xs,
                means,
                color=look.colour,
                linestyle=":" if len(xs) > 1 else "none",
                marker=look.marker,
                markerfacecolor="none",
                markersize=2.6,
                linewidth=0.9,
                label=CONTROL,
            )


def _curve(
    chosen: pandas.DataFrame, with_clean: pandas.DataFrame
) -> tuple[list[float], list[float], list[float]]:
    """ε, mean and standard deviation; ε = 0 is the accuracy before the attack."""
    points = {}
    before = where(with_clean, metric="fgsm_right_before")
    if len(before):
        found = spreads(before.drop_duplicates("checkpoint"), "group")
        points[0.0] = next(iter(found.values()))
    for epsilon in distinct_numbers(chosen, "epsilon"):
        points[epsilon] = next(iter(spreads(where(chosen, epsilon=epsilon), "group").values()))
    ordered = sorted(points.items())
    stds = [0.0 if value.n < 2 else value.std for _, value in ordered]
    return [epsilon for epsilon, _ in ordered], [value.mean for _, value in ordered], stds


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    """The groups of all panels, each once, and one entry for all controls."""
    from matplotlib.lines import Line2D

    from sdd_eval.figures.style import MUTED

    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    control = found.pop(CONTROL, None)
    if control is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3, "linestyle": "none"}
        found[CONTROL] = Line2D([], [], color=MUTED, marker="o", **hollow)
    return list(found.values()), list(found)
