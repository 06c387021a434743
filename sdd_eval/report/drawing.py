"""Every figure plugin over every comparison: PDF and SVG bytes, and what went wrong."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.figures import Arrays, Plot, as_plot
from sdd_eval.figures.rows import where
from sdd_eval.figures.saving import figure_bytes
from sdd_eval.figures.style import house_style
from sdd_eval.progress import Progress, Silent
from sdd_eval.report.comparisons import Comparison, names_apart
from sdd_eval.report.summary import usable

if TYPE_CHECKING:
    import pandas

#: The kinds of files of a figure.
KINDS = ("pdf", "svg")


@dataclass(frozen=True)
class Drawing:
    """One figure of one comparison, drawn; `name` is its file's without the ending."""

    name: str
    plot: Plot
    comparison: Comparison
    results: pandas.DataFrame
    pdf: bytes
    svg: bytes


def draw_all(
    compared: Sequence[Comparison],
    arrays: Arrays,
    style: Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[Drawing], list[str]]:
    """Draw what there is to draw; a plugin that fails is named and disturbs no other.

    Raises:
        InputError: the style file is not one.
    """
    progress = progress or Silent()
    names = _in_order(plugins.names("figures"))
    progress.start("drawing figures", len(names) * len(compared))
    drawn: list[Drawing] = []
    failed: list[str] = []
    with house_style(style):
        for name in names:
            try:
                plot = as_plot(name, plugins.load("figures", name))
            except InputError as error:
                failed.append(str(error))
                progress.advance(len(compared), name)
                continue
            for words, comparison in zip(names_apart(compared), compared, strict=True):
                drawn += _drawn((name, *words), plot, comparison, arrays, failed)
                progress.advance(1, name)
    return _apart(drawn), failed


def _apart(drawn: Sequence[Drawing]) -> list[Drawing]:
    """The drawings with file names that differ, also where only odd letters set them apart."""
    seen: dict[str, int] = {}
    found = []
    for drawing in drawn:
        count = seen[drawing.name] = seen.get(drawing.name, 0) + 1
        name = drawing.name if count == 1 else f"{drawing.name}-{count}"
        found.append(dataclasses.replace(drawing, name=name))
    return found


#: The order in which the page shows the figures of this package; strangers' follow by name.
_ORDER = (
    "reliability",
    "fgsm_curve",
    "corruption_heatmap",
    "corruption_bars",
    "score_histograms",
    "roc_curves",
)


def _in_order(names: Sequence[str]) -> list[str]:
    rank = {name: index for index, name in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _drawn(
    words: Sequence[str],
    plot: Plot,
    comparison: Comparison,
    arrays: Arrays,
    failed: list[str],
) -> Iterator[Drawing]:
    """The figures of a plugin for a comparison: one a rendering of the test set."""
    for part, rows in _parts(plot, usable(comparison.results)):
        try:
            figure = plot(rows, arrays)
            if figure is None:
                continue
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # what is laid out once need not be for every file
            pdf, svg = (figure_bytes(figure, kind) for kind in KINDS)
        except Exception as error:  # a stranger's figure may raise anything
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            failed.append(f"figure {words[0]!r} of {comparison.title} could not be drawn: {cause}")
            continue
        yield Drawing(file_name(*words, part), plot, comparison, rows, pdf, svg)


def _parts(plot: Plot, rows: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """The rows, once for each data set that the figure's evaluator used, which must not mix."""
    own = where(rows, evaluator=plot.evaluator)
    sets = list(dict.fromkeys(own["dataset"]))
    if len(sets) < 2:
        yield "", rows
        return
    for dataset in sets:
        kept = (rows["evaluator"] != plot.evaluator) | (rows["dataset"] == dataset)
        yield str(dataset), rows[kept]


def file_name(*words: str) -> str:
    """A file name from words: letters, digits, dots and underscores, joined by dashes."""
    safe = [re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-.") for word in words]
    return "-".join(word for word in safe if word)[:150]
