"""`sdd-eval quickstart`: train, measure and report on images that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval.cli.flags import Work, command_line, parse, prepared
from sdd_eval.cli.progress_bar import Overall
from sdd_eval.data.root import data_root


@dataclass(frozen=True)
class Flags:
    """Where results go."""

    limit: int | None = None
    """Measure on only so many images of each set; training uses all of its own."""
    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""
    reports: Path = Path("reports")
    """Where studies lie."""
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Do what is missing, then print the headline numbers and where the report is."""
    title = "Cross-entropy and SD-Dropout on scikit-learn's digits: train, measure, report."
    flags = parse(Flags, arguments, "quickstart", title)
    device = prepared(flags.work)

    from sdd_eval import quickstart
    from sdd_eval.report.tables.headline import headline_text
    from sdd_eval.report.write import current_report, write_report

    root = data_root(flags.work.data_root)
    places = quickstart.Places(flags.checkpoints, flags.reports, root, device)
    jobs = list(quickstart.jobs(places, limit=flags.limit, command=command_line()))
    with Overall(sum(job.seconds for job in jobs), len(jobs) + 1) as bar:
        for job in jobs:
            with bar.job(job.label, job.seconds, one_piece=job.one_piece):
                job.run(bar)
        with bar.job("report", 1.0):
            page = current_report(places.study) or write_report(places.study)
    print(headline_text(places.study))
    print(page)
    return 0
