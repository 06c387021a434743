"""Statistics of the `corruption` evaluator: each cell, each corruption, and means over them.

A cell is a corruption at one severity. Errors relative to a baseline need the baseline's arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.comparison.matching import StoredRun, run_differences
from sdd_eval.comparison.statistic import (
    Arrays,
    Key,
    KeyedStatistic,
    calibration_errors,
    key,
    means,
    shares,
)
from sdd_eval.errors import InputError
from sdd_eval.evaluators.corruption.cell_metrics import (
    CE,
    NAMES,
    RELATIVE,
    SUFFIXES,
    whole_corruptions,
)
from sdd_eval.evaluators.corruption.cells import UNCORRUPTED, Cell, Cells, cells_of
from sdd_eval.evaluators.settings import arrays_of, with_arrays_of
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    NINETEEN,
    SEVERITIES,
    corruption_errors,
    relative_corruption_errors,
)
from sdd_eval.records import Run
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic
from sdd_eval.store import read_run

#: The value on the axis `corruption` of means over the 15 corruptions; the origin of other frost
#: images is appended.
MEAN = "mean of 15"
#: In resamples, relative CE is defined wherever the baseline's error increases at all.
MIN_INCREASE = 1e-9


def corruption_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield accuracy and ECE of the cells and means over complete sets of cells, and CE."""
    cells = cells_of(arrays)
    names = cells.corrupted
    correct = np.stack([cells.correct[cell] for cell in names], axis=1)
    confidence = np.stack([cells.confidence[cell] for cell in names], axis=1)
    yield shares([_cell_key("accuracy", *cell) for cell in names], list(correct.T))
    frost = str(arrays["frost"][0])
    groups = {_cell_key("accuracy", name): _severities(name) for name in _corruptions(names)}
    for metric, corruptions in zip(NAMES[frost], (FIFTEEN, NINETEEN), strict=True):
        groups[key(metric)] = [cell for name in corruptions for cell in _severities(name)]
    complete = _complete(groups, names)
    yield means(list(complete), [correct[:, group].mean(axis=1) for group in complete.values()])
    yield _calibration(names, confidence, correct, frost, int(settings["bins"]))
    yield from _baseline_statistics(cells, arrays, settings)


def _calibration(
    names: Sequence[Cell], confidence: Any, correct: Any, frost: str, bins: int
) -> KeyedStatistic:
    """Return the ECE of each cell, and its means over severities, corruptions, and both."""
    mean = MEAN + ("" if frost == "official" else f", {frost} frost")
    groups = {_cell_key("ece", *cell): [cell] for cell in names}
    groups |= {_cell_key("ece", name): _severities(name) for name in _corruptions(names)}
    for severity in SEVERITIES:
        groups[_cell_key("ece", mean, severity)] = [(name, severity) for name in FIFTEEN]
    groups[_cell_key("ece", mean)] = [cell for name in FIFTEEN for cell in _severities(name)]
    complete = _complete(groups, names)
    averaging = np.zeros((len(names), len(complete)))
    for column, group in enumerate(complete.values()):
        averaging[group, column] = 1 / len(group)
    of_cells = calibration_errors(confidence, correct, bins)

    def finish(sums: Floats) -> Floats:
        errors: Floats = of_cells.finish(sums) @ averaging
        return errors

    return KeyedStatistic(tuple(complete), SumStatistic(of_cells.columns, finish, of_cells.images))


def _cell_key(metric: str, corruption: str, severity: int | None = None) -> Key:
    at = {"corruption": corruption} | ({} if severity is None else {"severity": severity})
    return key(metric, **at)


def _severities(corruption: str) -> list[Cell]:
    return [(corruption, severity) for severity in SEVERITIES]


def _corruptions(names: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(corruption for corruption, _ in names))


def _complete(groups: Mapping[Key, Sequence[Cell]], names: Sequence[Cell]) -> dict[Key, list[int]]:
    """Return the indices of the cells of each group whose cells are all present."""
    index = {cell: i for i, cell in enumerate(names)}
    return {
        group: [index[cell] for cell in cells]
        for group, cells in groups.items()
        if all(cell in index for cell in cells)
    }


def with_baseline(stored: StoredRun) -> Arrays:
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


def _baseline_statistics(
    cells: Cells, arrays: Arrays, settings: Mapping[str, Any]
) -> Iterator[KeyedStatistic]:
    """Yield CE, relative CE and their means over the 15; both sides have the same baseline."""
    names = tuple(map(str, settings.get("baseline") or ()))
    baseline_arrays = [arrays_of(name, arrays) for name in names]
    if not baseline_arrays or not all(baseline_arrays):
        return
    baseline = [cells_of(one) for one in baseline_arrays]
    corruptions = whole_corruptions([cells, *baseline])
    if corruptions:
        suffix = SUFFIXES[str(arrays["frost"][0])]
        sides = [_errors([cells], corruptions), _errors(baseline, corruptions)]
        columns = np.concatenate(sides, axis=1).astype(np.float32)
        yield _relative_errors(columns, corruptions, suffix)


def _errors(networks: Sequence[Cells], corruptions: Sequence[str]) -> Floats:
    """Return each image's clean error and mean error per corruption (n, 1 + C), over networks."""
    correct = [
        [
            network.correct[UNCORRUPTED],
            *(np.mean([network.correct[n, s] for s in SEVERITIES], axis=0) for n in corruptions),
        ]
        for network in networks
    ]
    errors: Floats = 1 - np.mean(np.asarray(correct, dtype=np.float64), axis=0).T
    return errors


def _relative_errors(columns: Any, corruptions: Sequence[str], suffix: str) -> KeyedStatistic:
    """Return CE and relative CE per corruption, then their means if all 15 are present."""
    n = len(columns)
    keys = [key(metric, corruption=name) for metric in (CE, RELATIVE) for name in corruptions]
    complete = set(FIFTEEN) <= set(corruptions)
    fifteen = [corruptions.index(name) for name in FIFTEEN] if complete else []
    if complete:
        mean_names = (name.replace("corruption", "mean_corruption") for name in (CE, RELATIVE))
        keys += [key(name + suffix) for name in mean_names]

    def finish(sums: Floats) -> Floats:
        errors, baseline = np.split(sums / n, 2, axis=1)
        ce = corruption_errors(errors[:, 1:], baseline[:, 1:])
        relative = relative_corruption_errors(
            errors[:, 1:], errors[:, 0], baseline[:, 1:], baseline[:, 0], least=MIN_INCREASE
        )
        means = [values[:, fifteen].mean(axis=1, keepdims=True) for values in (ce, relative)]
        return np.concatenate([ce, relative, *(means if complete else [])], axis=1)

    return KeyedStatistic(tuple(keys), SumStatistic(columns, finish, n))
