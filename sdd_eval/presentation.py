"""Methods of runs and studies for notebooks: a table, figures and HTML.

`sdd_eval.report` implements them. As an upper layer that loads pandas and matplotlib, it is
imported only when a method is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import exported

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The module of the functions that the methods call.
_NOTEBOOK = "sdd_eval.report.notebook"


class Presentable:
    """Numbers that a notebook displays."""

    def to_frame(self) -> pandas.DataFrame:
        """Return the numbers as a table, one per row, with the columns of `results.csv`."""
        frame: pandas.DataFrame = exported(_NOTEBOOK, "to_frame")(self)
        return frame

    def plot(self, figure: str, width: float | None = None) -> Figure:
        """Draw a figure of these numbers, like `sdd_eval.plot`.

        Args:
            figure: name of a figure plugin, such as "reliability".
            width: width of the figure in inches; by default the width of two columns in a paper.

        Raises:
            InputError: an unknown figure, or one for which there are no numbers.
        """
        drawn: Figure = exported(_NOTEBOOK, "plot")(self, figure, width)
        return drawn

    def _repr_html_(self) -> str:
        """Return the most important numbers as HTML for a notebook."""
        return str(exported(_NOTEBOOK, "html")(self))
