"""Accuracy against confidence as lines, one per group, in one panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdd_eval.figures import RunArrays, figure
from sdd_eval.figures.layout import legend, panel_grid, percent_ticks, single_panel
from sdd_eval.figures.selection import group_names, pooled_bins, preferred_number, where
from sdd_eval.figures.style import MUTED, plain_text, styles_of
from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The preferred number of bins, which is the paper's, and the count of a bin that is too small.
BINS, FEW_IMAGES = 10, 10


@figure(
    "Accuracy against confidence",
    caption="""Accuracy against mean confidence in bins of equal width (the paper's Figure 2), with
    SD-Dropout (solid) and without (dashed). On the dotted diagonal a network is perfectly
    calibrated, below it overconfident. Bins are pooled over seeds, before temperature scaling;
    those of fewer than ten images are small and hollow.""",
    evaluator="calibration",
    metrics=("bin_count", "bin_confidence", "bin_accuracy"),
)
def confidence_lines(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None:
    """Draw a line per group through its bins."""
    from matplotlib.lines import Line2D

    counts = where(results, evaluator="calibration", metric="bin_count")
    if counts.empty:
        return None
    bins = preferred_number(counts, "bins", BINS)
    rows = where(results, evaluator="calibration", bins=bins)
    groups, styles = group_names(where(rows, metric="bin_count")), styles_of(results)
    figure, axes = single_panel(min(2.9, 0.7 * panel_grid(1).width))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    handles = []
    for group in groups:
        style, label = styles[group], plain_text(group)
        count, confidence, accuracy = pooled_bins(where(rows, group=group), int(bins))
        line: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "label": label}
        axes.plot(confidence[count > 0], accuracy[count > 0], **line)
        handles.append(Line2D([], [], marker=style.marker, **line))
        for few in (False, True):
            part = (count > 0) & ((count < FEW_IMAGES) == few)
            axes.plot(
                confidence[part],
                accuracy[part],
                color=style.colour,
                linestyle="none",
                marker=style.marker,
                markersize=2.6 if few else 4,
                markerfacecolor="none" if few else style.colour,
            )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Confidence", ylabel=metric("accuracy").title)
    axes.set_box_aspect(0.75)
    percent_ticks(axes)
    percent_ticks(axes, "x")
    legend(figure, (handles, [plain_text(group) for group in groups]))
    return figure
