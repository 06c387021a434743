"""The baseline of a `corruption` run: the run of another checkpoint in the same study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sdd_eval.comparison.matching import StoredRun, run_differences
from sdd_eval.errors import InputError
from sdd_eval.evaluators.settings import with_arrays_of
from sdd_eval.records import Run
from sdd_eval.store import read_run

#: The value on the axis `corruption` of means over the 15 corruptions; the origin of other frost
#: images is appended.
MEAN = "mean of 15"


def with_baseline(stored: StoredRun) -> Mapping[str, NDArray[Any]]:
    """Return a run's arrays, joined by those of its baseline if the study has its runs."""
    names = tuple(map(str, stored.run.settings.get("baseline") or ()))
    runs = {name: _baseline_run(stored, name) for name in names}
    found = {name: dict(run.arrays) for name, run in runs.items() if run is not None}
    if len(found) < len(names):
        return dict(stored.run.arrays)
    return with_arrays_of(dict(stored.run.arrays), found)


def _baseline_run(stored: StoredRun, checkpoint: str) -> Run | None:
    """Return the newest comparable run of a checkpoint in the same study, if there is one."""
    runs = []
    for path in _run_files(stored.path.parent.parent / checkpoint, stored.run.evaluator):
        try:
            run = read_run(path)
        except InputError:
            continue
        if run.dataset == stored.run.dataset and _comparable(stored.run, run):
            runs.append(run)
    return max(runs, key=lambda run: str(run.provenance.get("created", "")), default=None)


def _run_files(folder: Path, evaluator: str) -> list[Path]:
    return sorted(folder.glob(f"{evaluator}-*.json"))


def _comparable(run: Run, baseline: Run) -> bool:
    """Whether a baseline's run differs from a run in nothing but its standardisation."""
    differences = run_differences(run, baseline)
    return all(line.startswith("standardisation") for line in differences)
