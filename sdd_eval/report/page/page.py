"""Render a report as one self-contained HTML page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import where
from sdd_eval.metrics.names import display_name
from sdd_eval.report.drawing.draw import COMPARISON_FIGURES, ReportFigure, file_name
from sdd_eval.report.drawing.svg import SharedSvg, inline_svg, svg_width
from sdd_eval.report.latex.grids import headline_tables
from sdd_eval.report.latex.layout import table_tex
from sdd_eval.report.latex.selection import Selection
from sdd_eval.report.runs import RunCollection
from sdd_eval.report.tables import provenance, sections
from sdd_eval.report.tables.card import Card, network_cards, shared_apart
from sdd_eval.report.tables.comparisons import ComparisonSection
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.headline import Headline
from sdd_eval.report.tables.paper_comparison import TITLES, PaperRow
from sdd_eval.report.tables.pictures import PictureRow
from sdd_eval.report.tables.sections import (
    ProtocolIndex,
    ResultTable,
    evaluator_names,
    evaluator_tables,
    result_table,
    unofficial,
)
from sdd_eval.report.tables.summary import ComparableResults
from sdd_eval.report.tables.verdicts import VerdictTable, plotted
from sdd_eval.report.text.warnings import report_warnings
from sdd_eval.version import __version__

if TYPE_CHECKING:
    import pandas

#: Replacements for bidirectional control characters, which could reorder the page's own text.
#: Text in right-to-left scripts does not need them.
_BIDI = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
#: Reasons why a page has no pictures.
LEFT_OUT = "Pictures of test images were left out by --no-images or a study file."
NO_PICTURES = (
    "There are no pictures of test images: no run has stored any, as those of earlier versions and "
    "those of given logits."
)
#: Maximum number of checkpoints named in a caption.
MAX_NAMES = 4


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page, with the table of its numbers.

    `drawings` has a kind, an `<svg>` and its width for each width; the style sheet shows the one
    that fits the screen. `formats` are those of the figure's files. `same_table` names an earlier
    figure with the same table, which is shown only once. A `folded` figure repeats another one.
    """

    title: str
    caption: str
    name: str
    formats: tuple[str, ...]
    drawings: tuple[tuple[str, str, float], ...]
    table: ResultTable
    comparison: ComparableResults
    same_table: str = ""
    folded: bool = False


@dataclass(frozen=True)
class PageContent:
    """The content of a page; `protocols` are the texts of protocols by id.

    `tables` are the verdict tables, and `differences` their figures, to which the page links.
    """

    title: str
    collection: RunCollection
    results: pandas.DataFrame
    protocols: Mapping[str, str]
    comparable: Sequence[ComparableResults]
    figures: Sequence[ReportFigure]
    failures: Sequence[str]
    headline: Headline
    tables: Sequence[VerdictTable]
    paper: Sequence[PaperRow]
    comparisons: Sequence[tuple[ComparisonSection, Sequence[ReportFigure]]] = ()
    differences: Sequence[ReportFigure] = ()
    pictures: Sequence[PictureRow] | None = ()
    """Pictures of test images; None if they are left out."""

    @property
    def without_pictures(self) -> str:
        """The reason why there are no pictures; empty if there are some."""
        return "" if self.pictures else LEFT_OUT if self.pictures is None else NO_PICTURES


def render_page(content: PageContent) -> str:
    """Return the page's HTML."""
    results, runs = content.results, content.collection.runs
    names = evaluator_names(results)
    protocols = ProtocolIndex(results, names, content.protocols)
    studies = list(dict.fromkeys(entry.study for entry in runs))
    created = [entry.run.provenance.created for entry in runs]
    script = (importlib.resources.files(__package__) / "page.js").read_text(encoding="utf-8")
    text: str = template("page.html.jinja").render(
        version=__version__,
        studies=studies,
        checkpoint_count=results["checkpoint"].nunique(),
        run_count=len(runs),
        latest=max(created, default="")[:10],
        warnings=_warnings(content),
        title=content.title,
        tables=content.tables,
        tables_and_cards=_with_cards(content),
        differences=content.differences,
        pictures=content.pictures or (),
        without_pictures=content.without_pictures,
        copies={
            "CSV": to_csv(headline_frame(content.headline)),
            "LaTeX": "\n".join(map(table_tex, headline_tables(content.headline, Selection()))),
        },
        paper=content.paper,
        paper_titles=TITLES,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        several_comparisons=len(content.comparable) > 1,
        several_studies=len(studies) > 1,
        protocols=protocols,
        chapters={name: f"chapter-{file_name(name)}" for name in names},
        unofficial=unofficial,
        **_figure_values(content, names, protocols),
        **_provenance_values(content, names),
    )
    return text.translate(_BIDI)


def _warnings(content: PageContent) -> list[str]:
    """Return the warnings that are not shown next to a number of the first table."""
    shown = "; ".join(cell.warning for row in content.headline.rows for cell in row.cells)
    sources = content.collection, content.results, content.protocols, content.failures
    return report_warnings(*sources, shown)


def _with_cards(
    content: PageContent,
) -> list[tuple[VerdictTable, list[Card], list[str]]]:
    """Return each verdict table with the cards of its network, if it has only one.

    Notes that all cards share are returned separately, to be stated once.
    """
    arrays, runs, parts = content.collection.arrays, content.collection.runs, []
    for table in content.tables:
        names = {*table.part.results["run"]}
        part = RunCollection(tuple(entry for entry in runs if entry.name in names))
        cards = network_cards(table.groups, arrays, part.class_names)
        parts.append((table, *shared_apart(cards)))
    return parts


def _figure_values(
    content: PageContent, names: Sequence[str], protocols: ProtocolIndex
) -> dict[str, Any]:
    shared = SharedSvg()
    numbers = itertools.count()

    def convert(figures: Sequence[ReportFigure]) -> list[PageFigure]:
        return [_page_figure(next(numbers), figure, protocols, shared) for figure in figures]

    figures = _with_unique_tables(convert(content.figures))
    figures = [*map(partial(_folded, content.figures), content.figures, figures)]
    by_evaluator: dict[str, list[PageFigure]] = {name: [] for name in names}
    further: list[PageFigure] = []
    for source, figure in zip(content.figures, figures, strict=True):
        by_evaluator.get(source.plot.evaluator, further).append(figure)
    return {
        "sections": [_section(name, by_evaluator[name], content, protocols) for name in names],
        "further": further,
        "comparisons": [(section, convert(own)) for section, own in content.comparisons],
        "shared_figures": [f for f in figures if f.name.split("-")[0] in COMPARISON_FIGURES],
        "sprite": shared.sprite(),
        "svg_styles": shared.style_sheet(),
    }


def _folded(drawn: Sequence[ReportFigure], source: ReportFigure, figure: PageFigure) -> PageFigure:
    """Fold a figure if the one that it repeats is drawn from the same results."""
    first = {one.name.split("-")[0] for one in drawn if one.comparison is source.comparison}
    return dataclasses.replace(figure, folded=source.plot.repeats in first)


def _provenance_values(content: PageContent, names: Sequence[str]) -> dict[str, Any]:
    runs, results = content.collection.runs, content.results
    labels = dict(zip(results["run"], results["group"], strict=True))
    checkpoints = provenance.checkpoints([e for e in runs if e.name in labels], labels)
    return {
        "evaluators": [provenance.evaluator_runs(runs, name) for name in names],
        "data_sets": provenance.data_sets(runs),
        "environment": provenance.environment(runs),
        "checkpoints": checkpoints,
        "shared_recipe": provenance.shared_recipe(checkpoints),
        "seconds": provenance.total_seconds(runs),
        "command_labels": provenance.command_labels(runs),
    }


def _section(
    name: str, figures: Sequence[PageFigure], content: PageContent, protocols: ProtocolIndex
) -> dict[str, Any]:
    in_figures = {
        index: {
            metric
            for figure in content.figures
            if figure.comparison is comparison and figure.plot.evaluator == name
            for metric in figure.plot.metrics
        }
        for index, comparison in enumerate(content.comparable)
    }
    tables = evaluator_tables(content.comparable, name, protocols, in_figures)
    title = sections.TITLES.get(name) or display_name(name)
    return {"evaluator": name, "title": title, "figures": figures, "tables": tables}


def _page_figure(
    number: int, figure: ReportFigure, protocols: ProtocolIndex, shared: SharedSvg
) -> PageFigure:
    plot = figure.plot
    label = f"{plot.title}: {figure.comparison.title}"
    drawings: list[tuple[str, str, float]] = []
    described: dict[str, int] = {}
    for suffix in figure.rendered.values:
        svg = figure.rendered.files[f"{suffix}.svg"].decode()
        values = figure.rendered.values[suffix]
        kind = suffix.strip("-") or "double"
        body = inline_svg(svg, f"f{number}{kind[0]}", label, values, shared, described)
        drawings.append((kind, body, svg_width(svg)))
        described = described or {value.text: index for index, value in enumerate(values)}
    return PageFigure(
        title=plot.title,
        caption=" ".join(filter(None, (plot.caption, _exclusion_note(figure.excluded)))),
        name=figure.name,
        formats=figure.formats,
        drawings=tuple(drawings),
        table=_figure_table(figure, protocols),
        comparison=figure.comparison,
    )


def _exclusion_note(checkpoints: Sequence[str]) -> str:
    """Return which checkpoints have numbers that a figure omits; empty if there are none."""
    if not checkpoints:
        return ""
    names = ", ".join(checkpoints[:MAX_NAMES])
    more = len(checkpoints) - MAX_NAMES
    others = f" and {more} more" if more > 0 else ""
    return (
        f"Some numbers of {names}{others} are omitted, because they were measured on other images "
        "or data, or under another protocol, than those shown."
    )


def _figure_table(figure: ReportFigure, protocols: ProtocolIndex) -> ResultTable:
    plot, rows = figure.plot, figure.comparison.summary
    if not plot.metrics:
        return ResultTable()
    if plot.evaluator:
        rows = where(rows, evaluator=plot.evaluator)
        rows = rows[rows["dataset"].isin(figure.results["dataset"].unique())]
    return result_table(rows[rows["metric"].isin(plot.metrics)], protocols)


def _with_unique_tables(figures: Sequence[PageFigure]) -> list[PageFigure]:
    """Make figures with the same table refer to the first of them."""
    first: dict[ResultTable, str] = {}
    unique = []
    for figure in figures:
        name = first.setdefault(figure.table, figure.name)
        repeated = name != figure.name and bool(figure.table.rows)
        unique.append(dataclasses.replace(figure, same_table=name if repeated else ""))
    return unique


def headline_frame(table: Headline) -> pandas.DataFrame:
    """Return mean, standard deviation and n of each column of the headline table as numbers."""
    import pandas

    rows: list[dict[str, Any]] = []
    for row in table.rows:
        cells: dict[str, Any] = {
            "study": row.comparison.study,
            "test_set": row.comparison.test_set,
            "arch": row.comparison.arch,
            "group": row.group,
        }
        for column, cell in zip(table.columns, row.cells, strict=True):
            for name in ("mean", "std", "n"):
                value = getattr(cell.summary, name) if cell.values else None
                cells[f"{column.title} {name}"] = value
        rows.append(cells)
    frame: pandas.DataFrame = pandas.DataFrame(rows, dtype=object)
    return frame


def template(name: str) -> Any:
    """Return a template of this package; values are escaped unless marked as safe."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sdd_eval", "report/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plotted"] = plotted
    return environment.get_template(name)
