"""`sdd-eval paper figure-1`: the methods, drawn from what each declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval import plugins
from sdd_eval.cli.flags import Threads, limit, parse

#: Methods of the paper, in its order; what else is installed comes after.
_FIRST = ("ce", "ls", "dropout", "cs_kd", "ddgsd", "byot", "dml")


@dataclass(frozen=True)
class Flags:
    """What is drawn, and where it goes."""

    sd_dropout: bool = True
    """Also draw cross-entropy with the SD-Dropout term, the paper's own method."""
    reports: Path = Path("reports")
    """Where studies lie; the drawing is `paper/figure-1.pdf` and `.svg` there."""
    work: Threads = field(default_factory=Threads)


def run_figure(arguments: Sequence[str]) -> int:
    """Draw every method that is installed."""
    title = "The paper's Figure 1: inputs, parts and terms of each method, as it declares them."
    flags = parse(Flags, arguments, "paper figure-1", title)
    from sdd_eval.figures.style import figure_bytes
    from sdd_eval.paper.figure_1 import draw_methods
    from sdd_eval.report.tables.groups import METHODS
    from sdd_eval.store import write_atomically
    from sdd_eval.training.analysis.method_summary import method_summary

    limit(flags.work)
    installed = plugins.names("methods")
    names = [*(n for n in _FIRST if n in installed), *(n for n in installed if n not in _FIRST)]
    panels = {METHODS.get(name, name.replace("_", " ")): method_summary(name) for name in names}
    if flags.sd_dropout:
        panels = {"SD-Dropout": method_summary("ce", sd_dropout=1.0), **panels}
    drawn = draw_methods(panels)
    for kind in ("pdf", "svg"):
        path = flags.reports / "paper" / f"figure-1.{kind}"
        content = figure_bytes(drawn, kind)
        write_atomically(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
        print(path)
    return 0
