"""`sdd-eval report [STUDY…]`: one page, CSV and figures from the runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval.cli.flags import Threads, limit, parse
from sdd_eval.cli.progress_bar import Bar


@dataclass(frozen=True)
class Flags:
    """Which studies, and where they lie."""

    study: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY…")] = ()
    """Names of studies; by default the study "default"."""
    reports: Path = Path("reports")
    """Where studies lie."""
    style: Path | None = None
    """A matplotlib style file for the figures."""
    work: Threads = field(default_factory=Threads)


def run(arguments: Sequence[str]) -> int:
    """Write each study's report and print where it is."""
    flags = parse(Flags, arguments, "report", "One page, CSV and figures from the runs of a study.")
    limit(flags.work)
    from sdd_eval.report.write import write_report

    for study in flags.study or ("default",):
        with Bar(f"{study}: ") as bar:
            page = write_report(flags.reports / study, style=flags.style, progress=bar)
        print(page)
    return 0
