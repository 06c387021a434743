"""Matplotlib figures of a results table, one figure per file.

A figure is a plugin of the group `sdd_eval.figures`, a callable

    figure(results: pandas.DataFrame, arrays: RunArrays | None = None) -> Figure | None

`results` has the columns of `results.csv` (see `sdd_eval.report.tables.results`) and rows of one
test set and one architecture. `arrays` maps the values of its column `run` to the `Arrays` of that
run, which are read on access. A result of None means that there is nothing to draw.

A plain function is sufficient. The decorator `figure` adds a title, a caption, and the evaluator
and metrics by which the report places the figure. Figure modules import matplotlib only inside
functions, so that listing them is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.arrays import Arrays
from sdd_eval.figures.style import house_style
from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas

    from sdd_eval.figures.recording import figure_files as figure_files
else:
    __getattr__, __all__ = lazy_exports(__name__)

RunArrays = Mapping[str, Arrays]
Draw = Callable[["pandas.DataFrame", "RunArrays | None"], "matplotlib.figure.Figure | None"]


@dataclass(frozen=True)
class Plot:
    """A figure with its title and caption, and the evaluator and metrics that it shows.

    `repeats` names a figure of the same numbers; where both are drawn, a page folds this one.
    """

    draw: Draw
    title: str
    caption: str = ""
    evaluator: str = ""
    metrics: tuple[str, ...] = ()
    repeats: str = ""

    def __call__(
        self, results: pandas.DataFrame, arrays: RunArrays | None = None
    ) -> matplotlib.figure.Figure | None:
        """Draw in the house style, unless one is already active."""
        with house_style():
            return self.draw(results, arrays)


def once(compute: Callable[..., Any], stored: Mapping[str, Any], *options: Hashable) -> Any:
    """Return `compute(stored, *options)`, cached with a run's arrays if they have `derived`.

    A report draws each figure in two widths, but reads the arrays and computes curves only once.
    """
    derived, key = getattr(stored, "derived", {}), (compute, *options)
    if key not in derived:
        derived[key] = compute(stored, *options)
    return derived[key]


def figure(
    title: str,
    *,
    caption: str = "",
    evaluator: str = "",
    metrics: tuple[str, ...] = (),
    repeats: str = "",
) -> Callable[[Draw], Plot]:
    """Return a decorator that turns a function into a `Plot`; the caption may have line breaks."""

    def decorate(draw: Draw) -> Plot:
        return Plot(draw, title, " ".join(caption.split()), evaluator, metrics, repeats)

    return decorate


def as_plot(name: str, plugin: Any) -> Plot:
    """Return a plugin as a `Plot`; a plain function gets its name as title."""
    if isinstance(plugin, Plot):
        return plugin
    return Plot(plugin, name.replace("_", " ").capitalize())
