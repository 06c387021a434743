"""Everything that a report says, put into one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.rows import where
from sdd_eval.report import provenance
from sdd_eval.report.cautions import cautions
from sdd_eval.report.collect import Collection
from sdd_eval.report.comparisons import Comparison
from sdd_eval.report.drawing import Drawing
from sdd_eval.report.headline import headline, seeds_of, where_it_holds
from sdd_eval.report.numbers import shown
from sdd_eval.report.protocols import Protocols
from sdd_eval.report.sections import (
    Grid,
    Section,
    evaluators,
    flagged,
    grid,
    heading,
    sections,
)
from sdd_eval.report.sentences import findings
from sdd_eval.report.svg import inline, width_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Picture:
    """A figure on the page, with the table of the numbers behind it."""

    title: str
    caption: str
    name: str
    svg: str
    width: float
    grid: Grid
    comparison: Comparison


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
) -> str:
    """The page's HTML."""
    from sdd_eval import __version__

    names = evaluators(results)
    protocols = Protocols(results, names)
    table = headline(results)
    pictures = [_picture(*numbered, protocols) for numbered in enumerate(drawings)]
    own: dict[str, list[Picture]] = {name: [] for name in names}
    further: list[Picture] = []
    for drawing, picture in zip(drawings, pictures, strict=True):
        own.get(drawing.plot.evaluator, further).append(picture)
    labels = dict(zip(results["run"], results["group"], strict=True))
    studies = list(dict.fromkeys(found.study for found in collection.runs))
    measured_at = [str(found.run.provenance.get("created", "")) for found in collection.runs]
    text: str = _template().render(
        version=__version__,
        studies=studies,
        checkpoints=results["checkpoint"].nunique(),
        runs=len(collection.runs),
        latest=max(measured_at, default="")[:10],
        cautions=cautions(collection, results, failed),
        findings=findings(table),
        headline=table,
        several_comparisons=len(compared) > 1,
        several_studies=len(studies) > 1,
        chapters=[
            Chapter(
                name, heading(name), tuple(own[name]), tuple(sections(compared, name, protocols))
            )
            for name in names
        ],
        further=further,
        protocols=protocols,
        measured=[provenance.measured(collection.runs, name) for name in names],
        data_sets=provenance.data_sets(collection.runs),
        surroundings=provenance.surroundings(collection.runs),
        trained=provenance.trained(
            [found for found in collection.runs if found.name in labels], labels
        ),
        seconds=provenance.seconds(collection.runs),
        commands=provenance.commands(collection.runs),
        shown=shown,
        seeds_of=seeds_of,
        where_it_holds=where_it_holds,
        flagged=flagged,
    )
    return text


def _picture(number: int, drawing: Drawing, protocols: Protocols) -> Picture:
    """A drawing for the page; a figure that names no metrics has no table of its own."""
    plot, svg = drawing.plot, drawing.svg.decode()
    rows = where(drawing.results, evaluator=plot.evaluator)
    behind = grid(rows, protocols, plot.metrics) if plot.metrics else Grid((), (), ())
    label = f"{plot.title}: {drawing.comparison.title}. {plot.caption}"
    return Picture(
        title=plot.title,
        caption=plot.caption,
        name=drawing.name,
        svg=inline(svg, f"f{number}", label),
        width=width_of(svg),
        grid=behind,
        comparison=drawing.comparison,
    )


def _template() -> Any:
    """The page's template; everything that goes into it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sdd_eval", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
