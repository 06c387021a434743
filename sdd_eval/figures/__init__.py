"""Tidy rows become matplotlib figures, one a file.

A figure is a plugin of the group `sdd_eval.figures`: a callable

    figure(results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None

`results` are rows of `results.csv` (see `sdd_eval.report.tables.results`) about one test set
and one architecture, full runs where there are any; `arrays` maps their column `run` to the
per-image arrays of that run, read when they are asked for. None means that there is nothing to
draw. A plain function will do; `figure` adds a title, a caption and what the report needs to put
it into the right section with its numbers beneath. Modules of figures import matplotlib only inside
their functions, so that listing them stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Arrays = Mapping[str, Mapping[str, "NDArray[Any]"]]
Draw = Callable[["pandas.DataFrame", "Arrays | None"], "Figure | None"]


@dataclass(frozen=True)
class Plot:
    """A figure with its title, what it shows, and the measurements that it is drawn from."""

    draw: Draw
    title: str
    caption: str = ""
    evaluator: str = ""
    metrics: tuple[str, ...] = ()

    def __call__(self, results: pandas.DataFrame, arrays: Arrays | None = None) -> Figure | None:
        """Draw in the house style, unless a style is already in force."""
        from sdd_eval.figures.style import house_style

        with house_style():
            return self.draw(results, arrays)


def figure(
    title: str, *, caption: str = "", evaluator: str = "", metrics: tuple[str, ...] = ()
) -> Callable[[Draw], Plot]:
    """Describe a figure for the report: its title, caption, evaluator and metrics."""

    def described(draw: Draw) -> Plot:
        return Plot(draw, title, caption, evaluator, metrics)

    return described


def as_plot(name: str, plugin: Any) -> Plot:
    """A plugin as a `Plot`: itself, or a plain function under its plugin's name."""
    if isinstance(plugin, Plot):
        return plugin
    return Plot(plugin, name.replace("_", " ").capitalize())
