"""`sdd-eval verify FOLDER…`: check that a report follows from its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval import report
from sdd_eval.cli.flags import Inputs, Threads, parse
from sdd_eval.cli.terminal import table
from sdd_eval.data.root import data_root
from sdd_eval.device import set_threads
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Flags:
    """Recompute a report from its runs: numbers, tables, comparisons, and the rows of its page."""

    folder: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FOLDER…")] = ()
    """Folders of studies, with their runs; nothing in them is changed."""
    all: bool = False
    """Also list the runs whose numbers are confirmed."""
    storage: Inputs = field(default_factory=Inputs)
    compute: Threads = field(default_factory=Threads)


def run(arguments: Sequence[str]) -> int:
    """Print the checks of each folder; return 1 if a part differs."""
    flags = parse(Flags, arguments, "verify")
    set_threads(flags.compute.threads)
    if not flags.folder:
        raise InputError("no folder is named; use: sdd-eval verify FOLDER…, as reports/default")
    counts: Counter[str] = Counter()
    root = data_root(flags.storage.data_root)
    for folder in flags.folder:
        checks = report.verify_report(folder, checkpoints=flags.storage.checkpoints, data_root=root)
        results = [*checks]
        counts.update(check.state for check in results)
        hidden = [c for c in results if c.state == "holds" and c.part.startswith("runs/")]
        shown = [c for c in results if flags.all or c not in hidden]
        if not flags.all:
            print(f"{folder}: the numbers of {len(hidden)} runs hold")
        print(table([(c.state, c.part, c.detail) for c in shown], ("", "part", "")))
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if counts["differs"] else 0
