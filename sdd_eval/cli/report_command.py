"""`sdd-eval report [STUDY…]`: an HTML page, CSV files and figures from the runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdd_eval import cli, report
from sdd_eval.cli.flags import Reports, Studies, Threads, parse
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.device import set_threads


@dataclass(frozen=True)
class Flags:
    """Write the report of a study: an HTML page, CSV tables and figures."""

    study: Studies = ()
    """Names of studies; default: the study "default"."""
    style: Path | None = None
    """Widths and fonts: `cvpr`, `icml`, `neurips`, `plain`, or a matplotlib style file."""
    columns: tuple[str, ...] = ()
    """Metrics and methods shown in the LaTeX tables, in this order; default: all."""
    images: bool = True
    """Show pictures of test images: mistakes, accepted outliers, corruptions and attacks."""
    storage: Reports = field(default_factory=Reports)
    compute: Threads = field(default_factory=Threads)
    output: Verbosity = field(default_factory=Verbosity)


def run(arguments: Sequence[str]) -> int:
    """Write each study's report and print its path."""
    flags = parse(Flags, arguments, "report")
    set_threads(flags.compute.threads)
    if flags.style is not None:
        report.read_style(flags.style)  # before the runs are read
    for study in flags.study or ("default",):
        with cli.Bar(f"{study}: ") as bar:
            folder = flags.storage.reports / study
            options: Any = {"columns": flags.columns, "images": flags.images}
            page = report.write_report(folder, style=flags.style, progress=bar, **options)
        print(page)
    return 0
