"""Write a report: CSV files, LaTeX tables, figures and page, all replaced at once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval import plugins, store
from sdd_eval.comparison.store import FOLDER, ComparisonSet
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.report.drawing.cache import RECORD, cache_record, read_cache
from sdd_eval.report.drawing.draw import (
    FOREST,
    FORMATS,
    ReportFigure,
    draw_comparison,
    draw_figures,
    draw_verdicts,
    write_comparison_figures,
)
from sdd_eval.report.latex.evaluators import comparison_table
from sdd_eval.report.latex.files import table_names, tex_files
from sdd_eval.report.latex.grids import paper_numbers
from sdd_eval.report.latex.layout import table_tex
from sdd_eval.report.latex.selection import selection
from sdd_eval.report.page.page import LEFT_OUT, PageContent, render_page
from sdd_eval.report.publish import publish, recover
from sdd_eval.report.runs import RunCollection, read_runs
from sdd_eval.report.tables.comparisons import (
    ComparisonSection,
    compared_protocols,
    comparison_frame,
    comparison_sections,
)
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.paper_comparison import paper_rows
from sdd_eval.report.tables.pictures import picture_rows
from sdd_eval.report.tables.provenance import runs_table
from sdd_eval.report.tables.results import interval_texts, protocol_texts, text_table, tidy
from sdd_eval.report.tables.summary import ComparableResults, comparable_results, summarise
from sdd_eval.report.tables.verdicts import VerdictTable, verdict_tables
from sdd_eval.studies.study import RECORD as STUDY_RECORD
from sdd_eval.version import __version__

#: Number of objects created between two garbage collections: about those of one figure.
OBJECTS = 200_000


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Collect cyclic garbage rarely: the time of a collection grows with all runs and figures."""
    thresholds = gc.get_threshold()
    gc.set_threshold(OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@_few_collections()
def write_report(
    studies: Path | Sequence[Path],
    *,
    into: Path | None = None,
    style: Path | None = None,
    progress: Progress | None = None,
    figures: bool = True,
    columns: Sequence[str] = (),
    images: bool = True,
) -> Path:
    """Write tables as CSV and LaTeX, figures, and the page `index.html`; return the page's path.

    The report covers one or several study folders and is written to the folder `into`, by default
    the first of them. `style` is a matplotlib style file. Unchanged figures are not redrawn;
    without `figures` there are none, and without `images`, or if a study's file says so, there are
    no pictures. `columns` are the metrics and methods of LaTeX tables, by default those named in
    the studies' files, else all.

    Raise InputError if a folder is missing or has no readable run, if a column's name is unknown,
    or if the report cannot be written; the files of the old report are then unchanged.
    """
    progress = progress or NoProgress()
    folders = [studies] if isinstance(studies, Path) else list(studies)
    folder = folders[0] if into is None else into
    collection = read_runs(folders, progress)
    recover(folder)
    results, arrays = tidy(collection.runs), collection.arrays
    protocols = protocol_texts(collection.runs)
    comparable = comparable_results(results)
    sections, warnings = comparison_sections(folders, results, folder)
    numbers = paper_numbers(results, _stored(sections))
    names, known = columns or collection.columns, numbers.headline.rows
    chosen = selection(names, numbers.columns, known, skip_unknown=not columns)
    tables = verdict_tables(numbers.headline)
    drawn = _Figures()
    if figures:
        drawn = _draw(folder, comparable, collection, sections, tables, style, progress)
    shown = images and collection.images
    content = PageContent(
        title=collection.title,
        collection=collection,
        results=results,
        protocols=protocols,
        comparable=comparable,
        figures=_non_empty(drawn.single),
        failures=[*warnings, *drawn.failures],
        headline=numbers.headline,
        tables=tables,
        paper=paper_rows(results, collection.runs),
        comparisons=[
            (section, _non_empty(drawn.compared.get(position, ())))
            for position, section in enumerate(sections)
        ],
        differences=_non_empty(drawn.differences),
        pictures=picture_rows(comparable, collection, arrays) if shown else None,
    )
    tex = tex_files(numbers, chosen, comparable, protocols, content.paper)
    files = _text_files(content, tex) | _figure_files(drawn.all)
    publish(folder, files, _obsolete(folder, files))
    return folder / "index.html"


@dataclass(frozen=True)
class _Figures:
    """The figures of a report, those of comparisons by position, and why some failed."""

    single: Sequence[ReportFigure] = ()
    differences: Sequence[ReportFigure] = ()
    compared: Mapping[int, Sequence[ReportFigure]] = field(default_factory=dict)
    failures: Sequence[str] = ()

    @property
    def all(self) -> list[ReportFigure]:
        """Return all figures."""
        compared = (figure for figures in self.compared.values() for figure in figures)
        return [*self.single, *self.differences, *compared]


def _draw(
    folder: Path,
    comparable: Sequence[ComparableResults],
    collection: RunCollection,
    sections: Sequence[ComparisonSection],
    tables: Sequence[VerdictTable],
    style: Path | None,
    progress: Progress,
) -> _Figures:
    """Draw every figure of a report that is not already in the folder."""
    arrays, cache = collection.arrays, read_cache(folder / "figures")
    names = plugins.names("figures")
    single, failures = draw_figures(names, comparable, arrays, style, progress, cache)
    compared = {}
    for position, section in enumerate(sections):
        compared[position], failed = draw_comparison(section, comparable, arrays, style, cache)
        failures = [*failures, *failed]
    return _Figures(single, draw_verdicts(tables, style, cache), compared, failures)


def _stored(sections: Sequence[ComparisonSection]) -> dict[str, list[ComparisonSet]]:
    """Return the stored comparisons of each study."""
    stored: dict[str, list[ComparisonSet]] = {}
    for section in sections:
        stored.setdefault(section.study, []).append(section.stored)
    return stored


def _non_empty(figures: Sequence[ReportFigure]) -> list[ReportFigure]:
    return [figure for figure in figures if figure.files]


def _text_files(content: PageContent, tex: Mapping[str, str]) -> dict[str, bytes]:
    files = {
        "results.csv": to_csv(content.results),
        "summary.csv": to_csv(summarise(content.results)),
        "runs.csv": to_csv(runs_table(content.collection.runs)),
        "protocols.csv": to_csv(text_table("protocol_id", content.protocols)),
        "intervals.csv": to_csv(text_table("interval_id", interval_texts(content.collection.runs))),
        **tex,
        "index.html": render_page(content),
    }
    # file names that are not UTF-8 cannot be written as text
    return {name: text.encode(errors="replace") for name, text in files.items()}


def _figure_files(figures: Sequence[ReportFigure]) -> dict[str, bytes]:
    files = {f"figures/{name}": data for figure in figures for name, data in figure.files.items()}
    record = cache_record((figure.name, figure.rendered) for figure in figures)
    return {**files, f"figures/{RECORD}": record.encode()}


def _obsolete(folder: Path, written: Mapping[str, bytes]) -> list[str]:
    """Return obsolete figures and tables of an earlier report, but none of the user's own files."""
    paths = []
    for name in (*plugins.names("figures"), FOREST):
        for path in (*folder.glob(f"figures/{name}.*"), *folder.glob(f"figures/{name}-*.*")):
            if path.suffix[1:] in (*FORMATS, "csv"):
                paths.append(f"figures/{path.name}")
    paths += table_names(folder)
    return [path for path in dict.fromkeys(paths) if path not in written]


def write_comparison(
    study: Path, comparison: ComparisonSet, families: Sequence[str], *, figures: bool = True
) -> list[Path]:
    """Write a comparison's protocols, LaTeX tables, figures and lastly CSV; return the paths."""
    csv = study / FOLDER / f"{comparison.name}.csv"
    folder = csv.with_suffix("")
    texts = folder / "protocols.csv"
    store.write_text(texts, to_csv(text_table("protocol_id", compared_protocols(comparison.pairs))))
    tex = csv.with_suffix(".tex")
    compared = [comparison_table(pair, name) for pair in comparison.pairs for name in families]
    tables = [table_tex(table, "table*") for table in compared]
    store.write_text(tex, "\n".join(tables))
    drawn = [*write_comparison_figures(study, comparison.checkpoints, folder)] if figures else []
    store.write_text(csv, to_csv(comparison_frame(comparison.pairs)))
    return [csv, texts, tex, *drawn]


def comparison_is_written(study: Path, name: str) -> bool:
    """Return whether all files of a stored comparison exist, i.e. the CSV, written last."""
    csv, stored = (study / FOLDER / f"{name}{suffix}" for suffix in (".csv", ".json"))
    try:
        return csv.stat().st_mtime_ns >= stored.stat().st_mtime_ns
    except OSError:
        return False


def current_report(study: Path, *, images: bool = True) -> Path | None:
    """Return the page of a study if this version wrote it after runs, comparisons and study file.

    With `images`, only return a page that does not omit pictures, else only one without them.
    """
    page = study / "index.html"
    try:
        written = page.stat().st_mtime_ns
        paths = [*store.run_paths(study), *(study / FOLDER).glob("*.json")]
        paths += study.glob(STUDY_RECORD)  # titles, labels and columns
        runs = [path.stat().st_mtime_ns for path in paths]
        text = page.read_text(encoding="utf-8")
        same_version = f"sdd_eval {__version__}" in text and (LEFT_OUT not in text) == images
    except (OSError, UnicodeDecodeError):
        return None
    return page if same_version and runs and max(runs) < written else None
