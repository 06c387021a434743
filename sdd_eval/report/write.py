"""A study's report on disk: CSV, tables, figures and page, all of them new or all of them old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sdd_eval import plugins, store
from sdd_eval.comparison.store import FOLDER
from sdd_eval.figures.selection import where
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.report.drawing.cache import RECORD, drawn_before, record_of
from sdd_eval.report.drawing.draw import KINDS, Drawing, draw_all, draw_asked, file_name
from sdd_eval.report.page.page import page
from sdd_eval.report.publish import publish, recover
from sdd_eval.report.runs import collect
from sdd_eval.report.tables.comparisons import compared_of
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.latex import escaped, grid_tex, headline_tex, tabular
from sdd_eval.report.tables.paper_comparison import TITLES, Set, beside
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.sections import Protocols, evaluators, grid, overall
from sdd_eval.report.tables.summary import Comparison, comparisons, names_apart, summarise
from sdd_eval.version import __version__


def write_report(
    studies: Path | Sequence[Path],
    *,
    into: Path | None = None,
    style: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write `results.csv`, `summary.csv`, `tables/`, `figures/` and `index.html`; the page's path.

    Figures that have not changed since the last report are taken from it.

    Args:
        studies: one study folder, or several for one report over all of them.
        into: the folder to write into; by default the first study's.
        style: a matplotlib style file for the figures.
        progress: who is told how far it is.

    Raises:
        InputError: a folder is missing or has no readable run, or the report cannot be written;
            then all its files are the old ones.
    """
    progress = progress or NoProgress()
    folders = [studies] if isinstance(studies, Path) else list(studies)
    folder = folders[0] if into is None else into
    collection = collect(folders, progress)
    recover(folder)
    results = tidy(collection.runs)
    compared = comparisons(results)
    before = drawn_before(folder / "figures")
    drawn, failed = draw_all(compared, collection.arrays, style, progress, before)
    table, set_beside = headline(results), beside(results, collection.runs)
    asked, said = compared_of(folders, results, folder)
    of_asked = [
        draw_asked(each, compared, collection.arrays, style, before, failed) for each in asked
    ]
    pictured = [(each, _shown(own)) for each, own in zip(asked, of_asked, strict=True)]
    every = [*drawn, *(drawing for each in of_asked for drawing in each)]
    files = {
        "results.csv": to_csv(results),
        "summary.csv": to_csv(summarise(results)),
        "tables/headline.tex": headline_tex(table),
        **({"tables/paper.tex": _paper_tex(set_beside)} if set_beside else {}),
        **{f"tables/{name}.tex": text for name, text in _tables(compared)},
        f"figures/{RECORD}": record_of((each.name, each.drawn) for each in every),
        "index.html": page(
            collection,
            results,
            compared,
            _shown(drawn),
            [*said, *failed],
            table,
            set_beside,
            pictured,
        ),
    }
    written = {name: text.encode() for name, text in files.items()} | _figures(every)
    publish(folder, written, _obsolete(folder, written))
    return folder / "index.html"


def _shown(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The drawings that show anything."""
    return [each for each in drawings if each.files]


def _figures(drawings: Sequence[Drawing]) -> dict[str, bytes]:
    return {f"figures/{name}": content for each in drawings for name, content in each.files.items()}


def _tables(compared: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    """A table an evaluator and comparison, by the name of its file."""
    for words, comparison in zip(names_apart(compared), compared, strict=True):
        summary = overall(comparison.summary)
        names = evaluators(summary)
        protocols = Protocols(summary, names)
        for name in names:
            table = grid(where(summary, evaluator=name), protocols)
            label = file_name(name, *words)
            yield label, grid_tex(table, f"{name}, {comparison.title}: {table.told}.", label)


def _paper_tex(set_beside: Sequence[Set]) -> str:
    """The table beside the paper."""
    lines = [[escaped(cell) for cell in each.cells] for each in set_beside]
    caption = "Numbers of the paper and measured ones, mean ± standard deviation over n seeds."
    return tabular([escaped(title) for title in TITLES], lines, caption, "paper", 4)


def _obsolete(folder: Path, written: Mapping[str, bytes]) -> list[str]:
    """Figures and tables of an earlier report that are no longer made; a user's own files stay."""
    found = []
    for name in plugins.names("figures"):
        for path in (*folder.glob(f"figures/{name}.*"), *folder.glob(f"figures/{name}-*.*")):
            if path.suffix[1:] in (*KINDS, "csv"):
                found.append(f"figures/{path.name}")
    for name in (*plugins.names("evaluators"), "paper"):
        for path in (*folder.glob(f"tables/{name}.tex"), *folder.glob(f"tables/{name}-*.tex")):
            found.append(f"tables/{path.name}")
    return [name for name in dict.fromkeys(found) if name not in written]


def current_report(study: Path) -> Path | None:
    """The page of a study if this version wrote it after its runs and comparisons, else None."""
    page = study / "index.html"
    try:
        written = page.stat().st_mtime_ns
        paths = [*store.run_paths(study), *(study / FOLDER).glob("*.json")]
        runs = [path.stat().st_mtime_ns for path in paths]
        ours = f"sdd_eval {__version__}" in page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return page if ours and runs and max(runs) < written else None
