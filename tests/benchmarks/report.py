"""Time of a report and size of its page: python tests/benchmarks/report.py [networks]

A study of so many networks (100) × ten evaluators, of rows that the evaluators made of made-up
values; the curves and histograms are of 10,000 images and 40,000 outliers a network. Prints the
seconds and peak memory of `sdd-eval report`, each time a process of its own: cold (every figure
drawn) and warm (figures that have not changed are taken from before), and the bytes of the page.
With CPU_TIME=1 the seconds are the processor's. No test depends on it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "report"))
from battery_runs import runs
from synthetic_runs import write_study

IMAGES = 10_000
WARM = 3


def clock() -> float:
    """Seconds of the day, or of the processor in all processes that this one has waited for."""
    if os.environ.get("CPU_TIME") != "1":
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(study: Path) -> float:
    """Return the seconds of one report."""
    begun = clock()
    command = [sys.executable, "-m", "sdd_eval", "report", study.name, "--reports", study.parent]
    subprocess.run(command, check=True, capture_output=True)
    return clock() - begun


def main(networks: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored = list(runs(networks, 300, IMAGES))
        study = write_study(Path(folder) / "study", stored)
        rows = sum(len(run.measurements) for run in stored)
        print(f"{networks} networks, {len(stored)} runs, {rows:,} numbers", flush=True)
        print(f"cold       {report(study):8.2f} s", flush=True)
        for _ in range(WARM):
            print(f"warm       {report(study):8.2f} s", flush=True)
        page = (study / "index.html").stat().st_size
        print(f"page       {page:10,} bytes, {page / networks:,.0f} a network")
        print(f"csv        {(study / 'results.csv').stat().st_size:10,} bytes")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print(f"memory     {peak:8.2f} GB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
