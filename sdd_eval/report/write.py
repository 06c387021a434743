"""A study's report on disk: CSV and figures first, the page last and whole."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sdd_eval import __version__, plugins, store
from sdd_eval.progress import Progress, Silent
from sdd_eval.report.collect import collect
from sdd_eval.report.comparisons import comparisons
from sdd_eval.report.csvfile import to_csv
from sdd_eval.report.drawing import KINDS, Drawing, draw_all
from sdd_eval.report.page import page
from sdd_eval.report.summary import summarise
from sdd_eval.report.table import tidy


def write_report(
    studies: Path | Sequence[Path],
    *,
    into: Path | None = None,
    style: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write `results.csv`, `summary.csv`, `figures/` and `index.html`; the page's path.

    Args:
        studies: one study folder, or several for one report over all of them.
        into: the folder to write into; by default the first study's.
        style: a matplotlib style file for the figures.
        progress: who is told how far it is.

    Raises:
        InputError: a folder is missing or has no readable run, or the report cannot be written;
            then the page is the old one.
    """
    progress = progress or Silent()
    folders = [studies] if isinstance(studies, Path) else list(studies)
    folder = folders[0] if into is None else into
    collection = collect(folders, progress)
    results = tidy(collection.runs)
    compared = comparisons(results)
    drawings, failed = draw_all(compared, collection.arrays, style, progress)
    text = page(collection, results, compared, drawings, failed)
    store.write_text(folder / "results.csv", to_csv(results))
    store.write_text(folder / "summary.csv", to_csv(summarise(results)))
    _write_figures(folder / "figures", drawings)
    store.write_text(folder / "index.html", text)
    return folder / "index.html"


def current_report(study: Path) -> Path | None:
    """The page of a study if this version wrote it after the last of the runs, else None."""
    page = study / "index.html"
    try:
        written = page.stat().st_mtime_ns
        runs = [path.stat().st_mtime_ns for path in store.run_paths(study)]
        ours = f"sdd_eval {__version__}" in page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return page if ours and runs and max(runs) < written else None


def _write_figures(folder: Path, drawings: Sequence[Drawing]) -> None:
    """Write the figures, then remove those of an earlier report that are no longer drawn."""
    written = set()
    for drawing in drawings:
        for kind, content in zip(KINDS, (drawing.pdf, drawing.svg), strict=True):
            path = folder / f"{drawing.name}.{kind}"
            store.write_atomically(path, functools.partial(_pour, content))
            written.add(path.name)
    for name in plugins.names("figures"):
        for path in (*folder.glob(f"{name}.*"), *folder.glob(f"{name}-*.*")):
            if path.suffix[1:] in KINDS and path.name not in written:
                path.unlink(missing_ok=True)


def _pour(content: bytes, file: IO[bytes]) -> None:
    file.write(content)
