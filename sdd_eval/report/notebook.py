"""Runs and studies in a notebook: as data frames and as figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.figures import as_plot
from sdd_eval.figures.style import DOUBLE, house_style
from sdd_eval.records import Run
from sdd_eval.report.runs import RunCollection, StudyRun, read_runs
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import comparable_results, usable

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


def open_study(study: str | Path) -> pandas.DataFrame:
    """Return all numbers of a study's runs, a row each, as in `results.csv`.

    `study` is its folder, such as "reports/default". Raise InputError without a readable run.
    """
    return tidy(read_runs([Path(study)]).runs)


def to_frame(runs: Run | Sequence[Run]) -> pandas.DataFrame:
    """Return the numbers of runs, such as those of `sdd_eval.evaluate`, as `open_study` does."""
    return tidy(_named(runs))


def plot(runs: Run | Sequence[Run] | str | Path, figure: str, width: float = DOUBLE) -> Figure:
    """Draw a figure of runs, or of the folder of a study.

    Args:
        runs: what to draw.
        figure: name of a figure plugin, such as "reliability".
        width: width of the figure in inches.

    Raises:
        InputError: an unknown figure, one for which there are no numbers, or runs that differ in
            architecture, training data or test set, and so do not belong into one figure.
    """
    of_study = isinstance(runs, str | Path)
    entries = read_runs([Path(runs)]).runs if of_study else _named(runs)  # type: ignore[arg-type]
    drawing = as_plot(figure, plugins.load("figures", figure))
    parts = comparable_results(tidy(entries))
    if len(parts) > 1:
        titles = "; ".join(part.title for part in parts)
        raise InputError(f"these runs do not belong into one figure: {titles}")
    with house_style(width=width):
        drawn = drawing(usable(parts[0].results), RunCollection(entries).arrays)
    if drawn is None:
        raise InputError(f"there are no numbers for the figure {figure}")
    return drawn


def _named(runs: Run | Sequence[Run]) -> tuple[StudyRun, ...]:
    """Return runs in memory with names that are unique."""
    listed = [runs] if isinstance(runs, Run) else runs
    return tuple(StudyRun("", f"{run.checkpoint}/{i}", run) for i, run in enumerate(listed))
