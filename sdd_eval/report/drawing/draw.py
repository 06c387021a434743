"""Every figure plugin over every comparison, at both widths of a paper, and what went wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sdd_eval import plugins, store
from sdd_eval.errors import InputError
from sdd_eval.figures import Arrays, Plot, as_plot
from sdd_eval.figures.points import Tooltip, points_of, tooltips_of
from sdd_eval.figures.selection import where
from sdd_eval.figures.style import DOUBLE, SINGLE, figure_bytes, house_style
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.report.drawing.cache import Drawn, DrawnBefore, key_of_figure
from sdd_eval.report.runs import Collection, collect
from sdd_eval.report.tables.comparisons import Shown
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import (
    Comparison,
    comparisons,
    measured_alike,
    names_apart,
    usable,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

#: The kinds of files of a figure.
KINDS = ("pdf", "svg", "png")
#: What the widths add to the name of a figure's files, and the widths.
WIDTHS = {"": DOUBLE, "-single": SINGLE}


@dataclass(frozen=True)
class Drawing:
    """One figure of one comparison, drawn; `name` is its files' without width and ending.

    One that has nothing to show has no files; it is remembered, and not tried again. `left_out` are
    networks of which it lacks numbers, because they were measured otherwise than most.
    """

    name: str
    plot: Plot
    comparison: Comparison
    results: pandas.DataFrame
    drawn: Drawn
    left_out: tuple[str, ...] = ()

    @property
    def files(self) -> Mapping[str, bytes]:
        """File name → content."""
        return {f"{self.name}{ending}": content for ending, content in self.drawn.files.items()}


def draw_all(
    compared: Sequence[Comparison],
    arrays: Arrays,
    style: Path | None = None,
    progress: Progress | None = None,
    before: DrawnBefore | None = None,
) -> tuple[list[Drawing], list[str]]:
    """Draw what there is to draw; a plugin that fails is named and disturbs no other.

    What `before` holds of figures that have not changed is taken from there.

    Raises:
        InputError: the style file is not one.
    """
    return draw(plugins.names("figures"), compared, arrays, style, progress, before)


def draw(
    figures: Sequence[str],
    compared: Sequence[Comparison],
    arrays: Arrays,
    style: Path | None = None,
    progress: Progress | None = None,
    before: DrawnBefore | None = None,
    mark: str = "",
) -> tuple[list[Drawing], list[str]]:
    """`draw_all` of some figures; `mark` sets their files apart from those of all networks."""
    progress = progress or NoProgress()
    names = _in_order(figures)
    progress.start("drawing figures", len(names) * len(compared))
    pages = [_page(each, arrays, style) for each in compared]
    drawn: list[Drawing] = []
    failed: list[str] = []
    # matplotlib takes half a second to import, and is not where all is drawn already.
    with contextlib.nullcontext() if style is None else house_style(style):
        for name in names:
            try:
                plot = as_plot(name, plugins.load("figures", name))
            except InputError as error:
                failed.append(str(error))
                progress.advance(len(compared), name)
                continue
            for words, page in zip(names_apart(compared), pages, strict=True):
                drawn += page.figures((name, *words, mark), plot, before or DrawnBefore(), failed)
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


def _in_order(names: Sequence[str]) -> list[str]:
    rank = {name: index for index, name in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _page(comparison: Comparison, arrays: Arrays, style: Path | None) -> _Page:
    rows = usable(comparison.results)
    alike = measured_alike(rows)
    return _Page(comparison, alike, rows.drop(alike.index), arrays, style)


@dataclass(frozen=True)
class _Page:
    """A comparison with its usable rows, those measured otherwise apart, and the style in force."""

    comparison: Comparison
    rows: pandas.DataFrame
    apart: pandas.DataFrame
    arrays: Arrays
    style: Path | None

    def figures(
        self, words: Sequence[str], plot: Plot, before: DrawnBefore, failed: list[str]
    ) -> Iterator[Drawing]:
        """The figures of a plugin: one a rendering of the test set."""
        for part, rows in _parts(plot, self.rows):
            key = key_of_figure(plot, rows, self.arrays, self.style)
            drawn = before.found(key)
            if drawn is None:
                drawn = self._drawn(words[0], plot, rows, failed)
            if drawn is not None:
                kept = dataclasses.replace(drawn, key=key)
                name, apart = file_name(*words, part), self._left_out(plot)
                yield Drawing(name, plot, self.comparison, rows, kept, apart)

    def _left_out(self, plot: Plot) -> tuple[str, ...]:
        """The networks of which a figure lacks numbers, because they were measured otherwise."""
        own = where(self.apart, evaluator=plot.evaluator)
        return tuple(own.loc[own["metric"].isin(plot.metrics), "checkpoint"].unique())

    def _drawn(
        self, name: str, plot: Plot, rows: pandas.DataFrame, failed: list[str]
    ) -> Drawn | None:
        """A figure in both widths; None where it fails."""
        try:
            return drawn_in_widths(plot, rows, self.arrays)
        except Exception as error:  # a stranger's figure may raise anything
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            failed.append(f"figure {name!r} of {self.comparison.title} could not be drawn: {cause}")
            return None


def drawn_in_widths(plot: Plot, rows: pandas.DataFrame, arrays: Arrays) -> Drawn:
    """A figure's files in both widths, its points and the values in each; none if it is empty."""
    files: dict[str, bytes] = {}
    values: dict[str, tuple[Tooltip, ...]] = {}
    for mark, width in WIDTHS.items():
        with house_style(width=width):
            figure = plot(rows, arrays)
            if figure is None:
                return Drawn("", {}, {})
            figure.draw_without_rendering()
            _keep_the_layout(figure)
            values[mark] = tuple(tooltips_of(figure))
            files |= {f"{mark}.{kind}": figure_bytes(figure, kind) for kind in KINDS}
            if not mark:
                files[".csv"] = to_csv(points_of(figure)).encode()
    return Drawn("", files, values)


def _keep_the_layout(figure: Figure) -> None:
    """What is laid out once is not laid out for every file.

    Nor is it drawn once more before each, as a figure is that has any engine, also one of none.
    """
    import matplotlib

    off: dict[Any, Any] = {"figure.autolayout": False, "figure.constrained_layout.use": False}
    with matplotlib.rc_context(off):
        figure.set_layout_engine(None)


def _parts(plot: Plot, rows: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """The rows, once for each data set that the figure's evaluator used, which must not mix."""
    own = where(rows, evaluator=plot.evaluator) if plot.evaluator else rows.head(0)
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


#: Figure 2, lines with and without; Figure 3, bars; Figure 4, gradients during training.
FIGURES = ("confidence_lines", "fgsm_bars", "gradient_curves")


def draw_compared(study: Path, checkpoints: Sequence[str], folder: Path) -> Iterator[Path]:
    """Write each figure that there is something to draw for, in both widths; the PDFs' paths."""
    collection = collect([study])
    own = tuple(each for each in collection.runs if each.run.checkpoint in checkpoints)
    arrays = Collection(own).arrays
    compared = comparisons(tidy(own))
    for name in FIGURES:
        plot = as_plot(name, plugins.load("figures", name))
        for words, each in zip(names_apart(compared), compared, strict=True):
            drawn = drawn_in_widths(plot, usable(each.results), arrays)
            for ending, content in drawn.files.items():
                path = folder / f"{file_name(name, *words)}{ending}"
                store.write_atomically(path, functools.partial(_pour, content))
                if ending == ".pdf":
                    yield path


def draw_asked(
    asked: Shown,
    compared: Sequence[Comparison],
    arrays: Arrays,
    style: Path | None,
    before: DrawnBefore,
    failed: list[str],
) -> list[Drawing]:
    """The figures of a comparison's networks, for the page, where it has others beside them."""
    if asked.kept.outdated:
        return []
    own = [_of_asked(asked, each) for each in compared if each.study == asked.study]
    digest = hashlib.sha256(f"{asked.study} {asked.kept.name}".encode()).hexdigest()[:8]
    found, wrong = draw(
        FIGURES,
        [each for each in own if each is not None],
        arrays,
        style,
        before=before,
        mark=f"compared-{digest}",
    )
    failed += wrong
    return found


def _of_asked(asked: Shown, comparison: Comparison) -> Comparison | None:
    """A comparison's rows of the networks that were asked for; None if these are all or none."""
    rows = comparison.results
    kept = rows["checkpoint"].isin(asked.kept.checkpoints)
    if kept.all() or not kept.any():
        return None
    return dataclasses.replace(comparison, results=rows[kept])


def _pour(content: bytes, file: IO[bytes]) -> None:
    file.write(content)
