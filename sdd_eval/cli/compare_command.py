"""`sdd-eval compare BASE OTHER…`: what differs between networks, and whether it is chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sdd_eval.cli.bars import Bar
from sdd_eval.cli.flags import parse, table
from sdd_eval.errors import InputError
from sdd_eval.store import plain_name

if TYPE_CHECKING:
    from sdd_eval.comparison.record import Compared

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
    """Checkpoints; seeds of one recipe form a group, and the first one's is the base."""
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


def run(arguments: Sequence[str]) -> int:
    """Compare, print what was found, and write it beside the study's runs."""
    flags = parse(Flags, arguments, "compare", TITLE)
    from sdd_eval.comparison.compare import compare
    from sdd_eval.comparison.families import families_of

    study = flags.reports / plain_name("study", flags.study)
    if not study.is_dir():
        raise InputError(f"there is no study {flags.study} in {flags.reports}")
    unknown = [name for name in flags.family if name not in families_of(study)]
    if unknown:
        known = ", ".join(families_of(study))
        raise InputError(f"--family is {unknown[0]}; families of this study: {known}")
    with Bar() as bar:
        found = compare(study, flags.checkpoint, test=flags.test, progress=bar)
    for each in found:
        print("\n".join(_told(each, flags)))
    for path in _written(study, found, flags):
        print(path)
    return 0


def _told(found: Compared, flags: Flags) -> Iterator[str]:
    """A comparison for a terminal."""
    from sdd_eval.report.compared import lines_of, shown_rows, sizes_of, title_of, titles_of

    yield f"\n{title_of(found)}"
    for family in flags.family:
        size = sizes_of(found).get(family, 0)
        yield f"family {family}, {size} tests corrected together by Holm's method"
        rows = shown_rows(found, family, flags.metrics)
        if rows:
            yield table(lines_of(found, rows), titles_of(found))
    for line in found.apart:
        yield f"not joined: {line}"


def _written(study: Path, found: Sequence[Compared], flags: Flags) -> Iterator[Path]:
    """The CSV, LaTeX and figures of a comparison; their paths."""
    from sdd_eval.comparison.keeping import FOLDER
    from sdd_eval.report.compared import compared_frame, compared_tex
    from sdd_eval.report.csvfile import to_csv
    from sdd_eval.store import write_text

    name = _name(flags.checkpoint)
    folder = study / FOLDER
    write_text(folder / f"{name}.csv", to_csv(compared_frame(found)))
    yield folder / f"{name}.csv"
    tables = [compared_tex(each, family) for each in found for family in flags.family]
    write_text(folder / f"{name}.tex", "\n".join(tables))
    yield folder / f"{name}.tex"
    if flags.figures:
        from sdd_eval.report.compared_figures import draw_compared

        yield from draw_compared(study, flags.checkpoint, folder / name)


def _name(checkpoints: Sequence[str]) -> str:
    """A file name for so many checkpoints; a digest stands for those after the second."""
    more = hashlib.sha256(" ".join(checkpoints).encode()).hexdigest()[:8]
    rest = f"--{more}" if len(checkpoints) > 2 else ""
    return f"{checkpoints[0][:90]}--{checkpoints[1][:90]}{rest}"
