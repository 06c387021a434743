"""Everything that a report says, put into one self-contained page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import where
from sdd_eval.report.drawing.draw import FIGURES, WIDTHS, Drawing
from sdd_eval.report.drawing.svg import Shared, inline, width_of
from sdd_eval.report.formatting import shown
from sdd_eval.report.runs import Collection
from sdd_eval.report.tables import provenance
from sdd_eval.report.tables.comparisons import Shown
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.headline import Headline, seeds_of, where_it_holds
from sdd_eval.report.tables.latex import headline_tex
from sdd_eval.report.tables.paper_comparison import TITLES, Set
from sdd_eval.report.tables.sections import (
    Grid,
    Protocols,
    Section,
    by_origin,
    evaluators,
    flagged,
    grid,
    heading,
    sections,
)
from sdd_eval.report.tables.summary import Comparison
from sdd_eval.report.text.findings import compared_findings, findings
from sdd_eval.report.text.warnings import cautions

if TYPE_CHECKING:
    import pandas


#: Letters that turn the direction of the text behind them, also that of the page's own words: they
#: are told by their numbers. Words of languages that are read from the right need none.
_TURNING = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
#: So many networks are named in a caption.
NAMED = 4


@dataclass(frozen=True)
class Sheet:
    """A figure at one of its widths; which is shown depends on the screen's."""

    kind: str
    svg: str
    width: float


@dataclass(frozen=True)
class Picture:
    """A figure on the page, with the table of the numbers behind it.

    `like` is the name of an earlier figure with the same table, which is not shown twice.
    """

    title: str
    caption: str
    name: str
    sheets: tuple[Sheet, ...]
    grid: Grid
    comparison: Comparison
    like: str = ""


@dataclass(frozen=True)
class Chapter:
    """The part of the page about one evaluator."""

    evaluator: str
    heading: str
    pictures: tuple[Picture, ...]
    sections: tuple[Section, ...]


def page(
    collection: Collection,
    results: pandas.DataFrame,
    compared: Sequence[Comparison],
    drawings: Sequence[Drawing],
    failed: Sequence[str],
    table: Headline,
    set_beside: Sequence[Set],
    asked: Sequence[tuple[Shown, Sequence[Drawing]]] = (),
) -> str:
    """The page's HTML; `asked` are the comparisons of the studies with their own figures."""
    from sdd_eval.version import __version__

    names = evaluators(results)
    protocols = Protocols(results, names)
    shared, script = Shared(), _script()
    pictures = _each_table_once(
        [_picture(*numbered, protocols, shared) for numbered in enumerate(drawings)]
    )
    begin = len(drawings)
    of_asked = []
    for each, own_drawings in asked:
        numbered = enumerate(own_drawings, start=begin)
        of_asked.append((each, [_picture(*pair, protocols, shared) for pair in numbered]))
        begin += len(own_drawings)
    own: dict[str, list[Picture]] = {name: [] for name in names}
    further: list[Picture] = []
    for drawing, picture in zip(drawings, pictures, strict=True):
        own.get(drawing.plot.evaluator, further).append(picture)
    labels = dict(zip(results["run"], results["group"], strict=True))
    trained = provenance.trained(
        [found for found in collection.runs if found.name in labels], labels
    )
    studies = list(dict.fromkeys(found.study for found in collection.runs))
    measured_at = [str(found.run.provenance.get("created", "")) for found in collection.runs]
    text: str = _template().render(
        version=__version__,
        studies=studies,
        checkpoints=results["checkpoint"].nunique(),
        runs=len(collection.runs),
        latest=max(measured_at, default="")[:10],
        cautions=cautions(collection, results, failed),
        findings=[*findings(table), *compared_findings([shown for shown, _ in asked])],
        headline=table,
        copies={"CSV": to_csv(headline_frame(table)), "LaTeX": headline_tex(table)},
        beside=set_beside,
        beside_titles=TITLES,
        sprite=shared.sprite(),
        looks=shared.sheet(),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        several_comparisons=len(compared) > 1,
        several_studies=len(studies) > 1,
        chapters=[_chapter(name, own[name], drawings, compared, protocols) for name in names],
        further=further,
        asked=of_asked,
        shared_figures=[each for each in pictures if each.name.split("-")[0] in FIGURES],
        protocols=protocols,
        measured=[provenance.measured(collection.runs, name) for name in names],
        data_sets=provenance.data_sets(collection.runs),
        surroundings=provenance.surroundings(collection.runs),
        trained=trained,
        shared_recipe=provenance.in_common(trained),
        seconds=provenance.seconds(collection.runs),
        command_marks=provenance.commands(collection.runs),
        shown=shown,
        seeds_of=seeds_of,
        where_it_holds=where_it_holds,
        flagged=flagged,
        by_origin=by_origin,
    )
    return text.translate(_TURNING)


def _chapter(
    name: str,
    pictures: Sequence[Picture],
    drawings: Sequence[Drawing],
    compared: Sequence[Comparison],
    protocols: Protocols,
) -> Chapter:
    """The figures of an evaluator, then a table of the metrics that are not behind any of them."""
    behind = {
        index: {
            metric
            for drawing in drawings
            if drawing.comparison is comparison and drawing.plot.evaluator == name
            for metric in drawing.plot.metrics
        }
        for index, comparison in enumerate(compared)
    }
    tables = sections(compared, name, protocols, behind)
    return Chapter(name, heading(name), tuple(pictures), tuple(tables))


def _picture(number: int, drawing: Drawing, protocols: Protocols, shared: Shared) -> Picture:
    """A drawing for the page; a figure that names no metrics has no table of its own."""
    plot = drawing.plot
    label = f"{plot.title}: {drawing.comparison.title}"
    sheets: list[Sheet] = []
    said: dict[str, int] = {}
    for mark in WIDTHS:
        svg, values = drawing.drawn.files[f"{mark}.svg"].decode(), drawing.drawn.values[mark]
        kind = mark.strip("-") or "double"
        body = inline(svg, f"f{number}{kind[0]}", label, values, shared, said)
        sheets.append(Sheet(kind, body, width_of(svg)))
        said = said or {each.text: place for place, each in enumerate(values)}
    return Picture(
        title=plot.title,
        caption=" ".join(filter(None, (plot.caption, _left_out(drawing.left_out)))),
        name=drawing.name,
        sheets=tuple(sheets),
        grid=_behind(drawing, protocols),
        comparison=drawing.comparison,
    )


def _left_out(checkpoints: Sequence[str]) -> str:
    """Of which networks a figure shows not all, having been measured otherwise than most."""
    if not checkpoints:
        return ""
    named = ", ".join(checkpoints[:NAMED])
    more = f" and {len(checkpoints) - NAMED} more" if len(checkpoints) > NAMED else ""
    return (
        f"Left out are numbers of {named}{more}: other images, data or protocols are behind them "
        "than behind what is drawn."
    )


def _behind(drawing: Drawing, protocols: Protocols) -> Grid:
    """The table of the numbers that a figure is drawn from."""
    plot, rows = drawing.plot, drawing.comparison.summary
    if not plot.metrics:
        return Grid((), (), ())
    if plot.evaluator:
        rows = where(rows, evaluator=plot.evaluator)
        rows = rows[rows["dataset"].isin(drawing.results["dataset"].unique())]
    return grid(rows[rows["metric"].isin(plot.metrics)], protocols)


def _each_table_once(pictures: Sequence[Picture]) -> list[Picture]:
    """The pictures; of those with the same table only the first shows it."""
    first: dict[Grid, str] = {}
    found = []
    for picture in pictures:
        name = first.setdefault(picture.grid, picture.name)
        same = name != picture.name and bool(picture.grid.lines)
        found.append(dataclasses.replace(picture, like=name if same else ""))
    return found


def headline_frame(table: Headline) -> pandas.DataFrame:
    """The headline table as plain numbers: mean, standard deviation and n of each column."""
    import pandas

    rows: list[dict[str, Any]] = []
    for row in table.rows:
        told: dict[str, Any] = {
            "study": row.comparison.study,
            "test_set": row.comparison.test_set,
            "arch": row.comparison.arch,
            "group": row.group,
        }
        for column, cell in zip(table.columns, row.cells, strict=True):
            for name in ("mean", "std", "n"):
                told[f"{column.title} {name}"] = getattr(cell.spread, name) if cell.values else None
        rows.append(told)
    frame: pandas.DataFrame = pandas.DataFrame(rows, dtype=object)
    return frame


def _script() -> str:
    """The page's script."""
    folder = importlib.resources.files("sdd_eval.report.page")
    return (folder / "page.js").read_text(encoding="utf-8")


def _template() -> Any:
    """The page's template; everything that goes into it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sdd_eval", "report/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
