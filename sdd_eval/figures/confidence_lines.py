"""Accuracy against confidence as lines, one a group, in one pair of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures import Arrays, figure
from sdd_eval.figures.layout import legend
from sdd_eval.figures.selection import distinct_numbers, group_names, where, with_sd_dropout

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from sdd_eval.figures.style import Look

#: The number of bins that is drawn where several were scored: the paper's.
BINS = 10


@figure(
    "Accuracy against confidence",
    caption="Accuracy against mean confidence, bin by bin of equal width (the paper's Figure 2), "
    "with SD-Dropout (solid) and without (dashed); the dotted diagonal is perfect calibration: "
    "below it a network is surer than right. Bins are pooled over seeds, before temperature "
    "scaling; those of fewer than ten images are small and hollow.",
    evaluator="calibration",
    metrics=("bin_count", "bin_confidence", "bin_accuracy"),
)
def confidence_lines(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
    """A line a group through its bins."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import MUTED, looks, percent, plain, room

    counts = where(results, evaluator="calibration", metric="bin_count")
    if counts.empty:
        return None
    sizes = distinct_numbers(counts, "bins")
    rows = where(results, evaluator="calibration", bins=BINS if BINS in sizes else sizes[0])
    groups = group_names(where(rows, metric="bin_count"))
    style = looks(group_names(results), with_sd_dropout(results))
    width = room(1)[0]
    drawn = Figure(figsize=(width, min(2.9, 0.7 * width)), layout="constrained")
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    for group in groups:
        look = style[group]
        bins = _pooled(where(rows, group=group))
        xs, ys = [each[0] for each in bins], [each[1] for each in bins]
        axes.plot(xs, ys, color=look.colour, linestyle=look.line, label=plain(group))
        for few in (False, True):
            part = [(x, y) for x, y, count in bins if (count < BINS) == few]
            axes.plot(
                [x for x, _ in part],
                [y for _, y in part],
                color=look.colour,
                linestyle="none",
                marker=look.marker,
                markersize=2.6 if few else 4,
                markerfacecolor="none" if few else look.colour,
            )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Confidence", ylabel="Accuracy")
    axes.set_box_aspect(0.75)
    percent(axes)
    percent(axes, "x")
    handles = [_sample(style[group], plain(group)) for group in groups]
    legend(drawn, handles, [plain(group) for group in groups])
    return drawn


def _sample(look: Look, label: str) -> Line2D:
    """A line of the legend, with its marker."""
    from matplotlib.lines import Line2D

    shown = {"color": look.colour, "linestyle": look.line, "marker": look.marker}
    return Line2D([], [], label=label, **shown)  # type: ignore[arg-type]


def _pooled(rows: pandas.DataFrame) -> list[tuple[float, float, float]]:
    """Mean confidence, accuracy and count of images of each bin that has any, over all networks."""
    found = []
    for place in distinct_numbers(rows, "bin"):
        own = where(rows, bin=place)
        by = {
            metric: where(own, metric=metric).set_index("checkpoint")["value"].astype(float)
            for metric in ("bin_count", "bin_confidence", "bin_accuracy")
        }
        count = by["bin_count"][by["bin_count"] > 0]
        if len(count):
            sure, right = (
                float((by[metric].reindex(count.index) * count).sum() / count.sum())
                for metric in ("bin_confidence", "bin_accuracy")
            )
            found.append((sure, right, float(count.sum())))
    return found
