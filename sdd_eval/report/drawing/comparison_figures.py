"""The figures of compared checkpoints: the paper's Figures 2, 3 and 4 of them alone."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sdd_eval import plugins, store
from sdd_eval.figures import Arrays, as_plot
from sdd_eval.report.drawing.cache import DrawnBefore
from sdd_eval.report.drawing.draw import Drawing, draw, drawn_in_widths, file_name
from sdd_eval.report.page.comparison_section import Shown
from sdd_eval.report.runs import Collection, collect
from sdd_eval.report.tables.comparable import Comparison, comparisons, names_apart
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import usable

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
