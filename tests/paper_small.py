"""Run every study of the paper at a small size; exit with 1 on a failure or an empty cell.

Usage: python tests/paper_small.py [NAME…], in the folder where checkpoints and reports are to go.
"""

from __future__ import annotations

import sys
import time

from sdd_eval.cli import exit_code
from sdd_eval.studies.builtin import builtin_names, study_file
from sdd_eval.studies.resolve import read_study


def main(names: tuple[str, ...]) -> int:
    """Run the studies; print which failed."""
    wrong = []
    for name in names:
        begun = time.perf_counter()
        study = read_study(study_file(name), small=True)
        failed = exit_code(["batch", name, "--small", "--threads", "1"])
        empty = exit_code(["paper", study.name, "--complete"]) if study.tables else 0
        wrong += [f"{name}: a job failed"] if failed else []
        wrong += [f"{name}: a table has an empty cell"] if empty else []
        print(f"== {name}: {time.perf_counter() - begun:.0f} s", flush=True)
    print("\n".join(wrong) or f"all {len(names)} studies ran, and no cell is empty")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or [n for n in builtin_names() if n.startswith("paper/")]))
