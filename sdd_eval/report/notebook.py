"""Runs and studies in a notebook: as data frames, as figures and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from sdd_eval import plugins
from sdd_eval.comparison.store import load_comparisons
from sdd_eval.errors import InputError
from sdd_eval.figures import as_plot, figure_files
from sdd_eval.figures.style import DOUBLE, house_style
from sdd_eval.presentation import Presentable
from sdd_eval.records import Run
from sdd_eval.report.page.page import template
from sdd_eval.report.runs import RunCollection, StudyRun, read_runs
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.run_table import run_table
from sdd_eval.report.tables.summary import comparable_results, usable
from sdd_eval.report.text.headline import legend, metric_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Screen pixels per inch of a figure.
PIXELS = 100


class StudyFrame(Presentable, pandas.DataFrame):  # type: ignore[misc] # not the plot of pandas
    """All numbers of a study, one per row, as in `results.csv`.

    `plot(name)` draws a figure plugin of all its runs, and a notebook shows the table of means.
    Selections of rows and columns, and `to_frame()`, are plain data frames.
    """

    _metadata = ("folder", "collection")  # attributes, not columns
    folder: Path
    collection: RunCollection

    def to_frame(self) -> pandas.DataFrame:
        """Return the numbers as a plain data frame."""
        plain: pandas.DataFrame = pandas.DataFrame(self)
        return plain


def open_study(study: str | Path) -> StudyFrame:
    """Return all numbers of a study's runs, one per row, as in `results.csv`.

    `study` is its folder, such as "reports/default". Raise InputError if it has no readable run.
    """
    folder = Path(study)
    collection = read_runs([folder])
    frame: StudyFrame = StudyFrame(tidy(collection.runs))
    frame.folder, frame.collection = folder, collection
    return frame


def to_frame(runs: Run | Sequence[Run]) -> pandas.DataFrame:
    """Return the numbers of runs, such as those of `sdd_eval.evaluate`, as `open_study` does."""
    return tidy(_named(runs))


def plot(
    runs: Run | Sequence[Run] | StudyFrame | str | Path, figure: str, width: float | None = None
) -> Figure:
    """Draw a figure of runs, or of a study.

    Args:
        runs: runs, a study, or its folder.
        figure: name of a figure plugin, such as "reliability".
        width: width of the figure in inches; by default that of two columns of a paper.

    Raises:
        InputError: the figure is unknown or there are no numbers for it, or the runs differ in
            architecture, training data or test set and thus do not belong in one figure.
    """
    drawing = as_plot(figure, plugins.load("figures", figure))
    entries = _entries(runs)
    parts = comparable_results(tidy(entries))
    if len(parts) > 1:
        titles = "; ".join(part.title for part in parts)
        raise InputError(f"these runs do not belong into one figure: {titles}")
    with house_style(width=DOUBLE if width is None else width):
        drawn = drawing(usable(parts[0].results), RunCollection(entries).arrays)
    if drawn is None:
        raise InputError(f"there are no numbers for the figure {figure}")
    drawn._repr_png_ = partial(_png, drawn)  # type: ignore[attr-defined]
    return drawn


def _png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a figure as PNG and its screen size for a notebook, even without pyplot."""
    width, height = (round(PIXELS * inches) for inches in figure.get_size_inches())
    return figure_files(figure, ("png",))["png"], {"width": width, "height": height}


def html(shown: Run | StudyFrame) -> str:
    """Return the most important numbers of a run, or the means of a study, as HTML tables."""
    content = _of_run(shown) if isinstance(shown, Run) else _of_study(shown)
    text: str = template("notebook.html.jinja").render(**content)
    return text


def _of_run(run: Run) -> dict[str, Any]:
    table = run_table(run)
    more = f"… and {table.omitted} more; see to_frame()" if table.omitted else ""
    rows = zip(*table.columns.values(), strict=True)
    return {
        "title": f"{run.checkpoint} · {run.evaluator} on {run.n:,} images of {run.dataset}",
        "tables": [("", list(table.columns), rows)],
        "notes": [*filter(None, (", ".join(table.shared), more)), *(run.provenance.warnings or ())],
    }


def _of_study(study: StudyFrame) -> dict[str, Any]:
    stored, _ = load_comparisons(study.folder)
    runs = study.collection.runs
    table = headline(study.to_frame(), {runs[0].study: stored})
    counts = (study["checkpoint"].nunique(), "network"), (len(runs), "run"), (len(study), "number")
    sizes = ", ".join(f"{count:,} {noun}{'s' if count != 1 else ''}" for count, noun in counts)
    tables = []
    for part in table.parts:
        texts = metric_texts(table.columns, part)
        rows = [(title, *cells) for title, cells in texts.items()]
        tables.append((part[0].comparison.title, ["", *(row.group for row in part)], rows))
    return {
        "title": f"{study.collection.title} · {sizes}",
        "tables": tables,
        "notes": legend(table),
    }


def _entries(runs: Run | Sequence[Run] | StudyFrame | str | Path) -> tuple[StudyRun, ...]:
    if isinstance(runs, StudyFrame):
        return runs.collection.runs
    return read_runs([Path(runs)]).runs if isinstance(runs, str | Path) else _named(runs)


def _named(runs: Run | Sequence[Run]) -> tuple[StudyRun, ...]:
    """Return in-memory runs with unique names."""
    listed = [runs] if isinstance(runs, Run) else runs
    return tuple(StudyRun("", f"{run.checkpoint}/{i}", run) for i, run in enumerate(listed))
