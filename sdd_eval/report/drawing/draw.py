"""Draw the figures of a report with every figure plugin, in both widths of a paper."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval import figures, plugins, store
from sdd_eval.errors import InputError
from sdd_eval.figures import Plot, RunArrays, as_plot
from sdd_eval.figures.points import Tooltip, points_of, tooltips_of
from sdd_eval.figures.selection import known_first, where
from sdd_eval.figures.style import house_style, widths
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.report.drawing.cache import FigureCache, RenderedFigure, figure_key
from sdd_eval.report.drawing.forest import forest_plot, table_styles
from sdd_eval.report.runs import RunCollection, read_runs
from sdd_eval.report.tables.comparisons import ComparisonSection
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import (
    ComparableResults,
    comparable_results,
    distinguishing_names,
    most_common_conditions,
    usable,
)
from sdd_eval.report.tables.verdicts import VerdictTable

if TYPE_CHECKING:
    import pandas

#: The file formats of a figure.
FORMATS = ("pdf", "svg", "png")
#: The name of the figure of a verdict table.
FOREST = "forest"
#: The figures of compared checkpoints: confidence lines, FGSM bars and gradients during training.
COMPARISON_FIGURES = ("confidence_lines", "fgsm_bars", "gradient_curves")


@dataclass(frozen=True)
class ReportFigure:
    """A rendered figure of one part of the results; `name` is that of its files without suffix.

    A figure with nothing to show has no files, which is cached as well. `excluded` are checkpoints
    with numbers that were measured under other conditions than most.
    """

    name: str
    plot: Plot
    comparison: ComparableResults
    results: pandas.DataFrame
    rendered: RenderedFigure
    excluded: tuple[str, ...] = ()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of its files."""
        return tuple(kind for kind in FORMATS if f".{kind}" in self.rendered.files)

    @property
    def files(self) -> Mapping[str, bytes]:
        """File name → content."""
        return {f"{self.name}{suffix}": file for suffix, file in self.rendered.files.items()}


def draw_figures(
    names: Sequence[str],
    comparable: Sequence[ComparableResults],
    arrays: RunArrays,
    style: Path | None = None,
    progress: Progress | None = None,
    cache: FigureCache | None = None,
    suffix: str = "",
) -> tuple[list[ReportFigure], list[str]]:
    """Draw figure plugins; return the figures and an error message for each that failed.

    Figures that have not changed are taken from the cache; `suffix` is appended to file names.
    Raise InputError for an invalid style file.
    """
    progress = progress or NoProgress()
    names = known_first(names, _ORDER)
    progress.start("drawing figures", len(names) * len(comparable))
    contexts = [_context(part, arrays, style, cache or {}) for part in comparable]
    drawn: list[ReportFigure] = []
    failures: list[str] = []
    # house_style() imports matplotlib; a report with cached figures can save this half second.
    with contextlib.nullcontext() if style is None else house_style(style):
        for name in names:
            try:
                plot = as_plot(name, plugins.load("figures", name))
            except InputError as error:
                failures.append(str(error))
                progress.advance(len(comparable), name)
                continue
            for words, context in zip(distinguishing_names(comparable), contexts, strict=True):
                drawn += context.figures((name, *words, suffix), plot, failures)
                progress.advance(1, name)
    return _with_unique_names(drawn), failures


def draw_verdicts(
    tables: Sequence[VerdictTable], style: Path | None, cache: FigureCache
) -> list[ReportFigure]:
    """Draw the differences of each verdict table that has any, or take them from the cache."""
    drawn = []
    with contextlib.nullcontext() if style is None else house_style(style):
        for table in tables:
            styles, rows = table_styles(table), table.part.results
            plot = forest_plot(table, styles)
            names = [row.group for row in table.groups]
            numbers = repr((names, styles, [(row.column, row.lines) for row in table.rows]))
            key = figure_key(plot, rows.head(0), {}, style, numbers)
            rendered = cache.get(key) or render(plot, rows, {}, style)
            rendered = dataclasses.replace(rendered, key=key)
            drawn.append(ReportFigure(FOREST, plot, table.part, rows, rendered))
    return _with_unique_names(drawn)


def _with_unique_names(figures: Sequence[ReportFigure]) -> list[ReportFigure]:
    counts: dict[str, int] = {}
    unique = []
    for figure in figures:
        count = counts[figure.name] = counts.get(figure.name, 0) + 1
        name = figure.name if count == 1 else f"{figure.name}-{count}"
        unique.append(dataclasses.replace(figure, name=name))
    return unique


#: The order of this package's figures on the page; others follow by name.
_ORDER = (
    "reliability",
    "risk_coverage",
    "fgsm_curve",
    "attack_curves",
    "audit_curves",
    "corruption_heatmap",
    "corruption_differences",
    "corruption_bars",
    "score_histograms",
    "roc_curves",
    "pr_curves",
    "detector_auroc",
)


def _context(
    part: ComparableResults, arrays: RunArrays, style: Path | None, cache: FigureCache
) -> _DrawingContext:
    rows = usable(part.results)
    included = most_common_conditions(rows)
    return _DrawingContext(part, included, rows.drop(included.index), arrays, style, cache)


@dataclass(frozen=True)
class _DrawingContext:
    """One part of the results with its included and excluded rows, the arrays, style and cache."""

    comparison: ComparableResults
    rows: pandas.DataFrame
    excluded: pandas.DataFrame
    arrays: RunArrays
    style: Path | None
    cache: FigureCache

    def figures(
        self, words: Sequence[str], plot: Plot, failures: list[str]
    ) -> Iterator[ReportFigure]:
        """Yield the figures of a plugin, one for each data set of its evaluator."""
        excluded = where(self.excluded, evaluator=plot.evaluator)
        excluded = excluded[excluded["metric"].isin(plot.metrics)]
        names = tuple(excluded["checkpoint"].unique())
        for dataset, rows in _per_dataset(plot, self.rows):
            key = figure_key(plot, rows, self.arrays, self.style)
            rendered = self.cache.get(key) or self._render(words[0], plot, rows, failures)
            if rendered is not None:
                rendered = dataclasses.replace(rendered, key=key)
                name = file_name(*words, dataset)
                yield ReportFigure(name, plot, self.comparison, rows, rendered, names)

    def _render(
        self, name: str, plot: Plot, rows: pandas.DataFrame, failures: list[str]
    ) -> RenderedFigure | None:
        try:
            return render(plot, rows, self.arrays, self.style)
        except Exception as error:  # a third-party figure may raise anything
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            failures.append(f"Figure {name!r} of {self.comparison.title} failed: {cause}")
            return None


def render(
    plot: Plot, rows: pandas.DataFrame, arrays: RunArrays, style: Path | None = None
) -> RenderedFigure:
    """Return a figure's files in both widths, its points as CSV and its values; empty if blank."""
    files: dict[str, bytes] = {}
    values: dict[str, tuple[Tooltip, ...]] = {}
    for suffix, width in widths(style).items():
        with house_style(width=width):
            figure = plot(rows, arrays)
            if figure is None:
                return RenderedFigure("", {}, {})
            written = figures.figure_files(figure, FORMATS)
            files |= {f"{suffix}.{kind}": content for kind, content in written.items()}
            values[suffix] = tuple(tooltips_of(figure))
            if not suffix:
                files[".csv"] = to_csv(points_of(figure)).encode()
    return RenderedFigure("", files, values)


def _per_dataset(plot: Plot, rows: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """Yield the rows of each data set of the figure's evaluator; data sets must not be mixed."""
    of_evaluator = where(rows, evaluator=plot.evaluator) if plot.evaluator else rows.head(0)
    datasets = list(dict.fromkeys(of_evaluator["dataset"]))
    if len(datasets) < 2:
        yield "", rows
        return
    for dataset in datasets:
        mask = (rows["evaluator"] != plot.evaluator) | (rows["dataset"] == dataset)
        yield str(dataset), rows[mask]


def file_name(*words: str) -> str:
    """Return a file name from words: letters, digits, dots and underscores, joined by dashes."""
    safe = [re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-.") for word in words]
    return "-".join(word for word in safe if word)[:150]


def write_comparison_figures(
    study: Path, checkpoints: Sequence[str], folder: Path
) -> Iterator[Path]:
    """Write the comparison figures of some checkpoints in both widths; yield the PDFs' paths."""
    runs = tuple(e for e in read_runs([study]).runs if e.run.checkpoint in checkpoints)
    arrays = RunCollection(runs).arrays
    comparable = comparable_results(tidy(runs))
    for name in COMPARISON_FIGURES:
        plot = as_plot(name, plugins.load("figures", name))
        for words, part in zip(distinguishing_names(comparable), comparable, strict=True):
            for suffix, content in render(plot, usable(part.results), arrays).files.items():
                path = folder / f"{file_name(name, *words)}{suffix}"
                store.write_bytes(path, content)
                if suffix == ".pdf":
                    yield path


def draw_comparison(
    section: ComparisonSection,
    comparable: Sequence[ComparableResults],
    arrays: RunArrays,
    style: Path | None,
    cache: FigureCache,
) -> tuple[list[ReportFigure], list[str]]:
    """Draw the figures of a comparison's checkpoints if the report also has other checkpoints."""
    if section.stored.outdated:
        return [], []
    parts = []
    for part in comparable:
        compared = part.results["checkpoint"].isin(section.stored.checkpoints)
        if part.study == section.study and compared.any() and not compared.all():
            parts.append(dataclasses.replace(part, results=part.results[compared]))
    digest = hashlib.sha256(f"{section.study} {section.stored.name}".encode()).hexdigest()[:8]
    suffix = f"compared-{digest}"
    return draw_figures(COMPARISON_FIGURES, parts, arrays, style, cache=cache, suffix=suffix)
