"""`sdd-eval compare [BASE OTHER…]`: what differs between networks, and whether it is chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sdd_eval.cli.flags import Threads, limit, parse, table
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.errors import InputError
from sdd_eval.store import folder_name

if TYPE_CHECKING:
    from sdd_eval.comparison.records import PairComparison
    from sdd_eval.comparison.store import ComparisonSet

TITLE = (
    "Paired differences of networks that were measured in one study, with intervals and tests: "
    "McNemar's for accuracies, permutations for the rest, Welch's over seeds where both sides have "
    "several; Holm's adjustment within the families that the study's file fixes."
)


@dataclass(frozen=True)
class Flags:
    """What is compared, and what of it is shown."""

    checkpoint: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="BASE OTHER…")
    ] = ()
    """Checkpoints; seeds of one recipe form a group, and the first one's is the base. Without any:
    the pairs that the study's file names under [[compare]]."""
    study: str = "default"
    """The study whose runs are compared."""
    test: Literal["mid-p", "exact"] = "mid-p"
    """McNemar's test: mid-p errs about as often as its level says, exact never more."""
    family: tuple[str, ...] = ("headline",)
    """Families to show; all are tested, and kept as CSV."""
    metrics: tuple[str, ...] = ()
    """Metrics to show, by default all; families keep their sizes."""
    figures: bool = True
    """Draw the figures of these checkpoints as PDF, SVG and PNG."""
    reports: Path = Path("reports")
    """Where studies lie."""
    work: Threads = field(default_factory=Threads)


def run(arguments: Sequence[str]) -> int:
    """Compare, write what was found beside the study's runs, then print it."""
    flags = parse(Flags, arguments, "compare", TITLE)
    limit(flags.work)
    from sdd_eval.comparison.compare import compare, compare_planned
    from sdd_eval.comparison.families import study_families, unmatched_selectors

    study = flags.reports / folder_name("study", flags.study)
    if not study.is_dir():
        raise InputError(f"there is no study {flags.study} in {flags.reports}")
    unknown = [name for name in flags.family if name not in study_families(study)]
    if unknown:
        known = ", ".join(study_families(study))
        raise InputError(f"--family is {unknown[0]}; families of this study: {known}")
    with Bar() as bar:
        if flags.checkpoint:
            found = compare(study, flags.checkpoint, test=flags.test, progress=bar)
        else:
            found = compare_planned(study, test=flags.test, progress=bar)
    written = list(write_compared(study, found, flags.family, figures=flags.figures))
    for each in found.pairs:
        print("\n".join(_told(each, flags)))
    notes = [f"note: {line}" for line in unmatched_selectors(study, found.pairs)]
    notes += [f"not compared: {line}" for line in found.without]
    print("\n".join([*notes, *map(str, written)]))
    return 0


def _told(found: PairComparison, flags: Flags) -> Iterator[str]:
    """A comparison for a terminal."""
    from sdd_eval.comparison.run_statistics import untested_lines
    from sdd_eval.report.tables.comparisons import (
        lines_of,
        shown_rows,
        sizes_of,
        title_of,
        titles_of,
    )

    yield f"\n{title_of(found)}"
    for family in flags.family:
        size = sizes_of(found).get(family, 0)
        yield f"family {family}, {size} tests corrected together by Holm's method"
        rows = shown_rows(found, family, flags.metrics)
        if rows:
            yield table(lines_of(found, rows), titles_of(found))
    yield from (f"not joined: {line}" for line in found.apart)
    rows = [row for row in found.rows if not flags.metrics or row.metric in flags.metrics]
    yield from (f"not tested: {line}" for line in untested_lines(rows))


def write_compared(
    study: Path, found: ComparisonSet, families: Sequence[str], *, figures: bool
) -> Iterator[Path]:
    """Write the CSV, LaTeX and figures of a comparison; their paths."""
    from sdd_eval.comparison.store import FOLDER
    from sdd_eval.report.tables.comparisons import compared_frame, compared_tex
    from sdd_eval.report.tables.csv_file import to_csv
    from sdd_eval.store import write_text

    path = study / FOLDER / f"{found.name}.csv"
    write_text(path, to_csv(compared_frame(found.pairs)))
    yield path
    path = path.with_suffix(".tex")
    tables = [compared_tex(each, family) for each in found.pairs for family in families]
    write_text(path, "\n".join(tables))
    yield path
    if figures:
        from sdd_eval.report.drawing.draw import draw_compared

        yield from draw_compared(study, found.checkpoints, study / FOLDER / found.name)
