"""The numbers of corrupted images: of each cell, each corruption, and the benchmark's means."""

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
from sdd_eval.evaluators.corruption.baseline import CE, RELATIVE, SUFFIXES, whole_corruptions
from sdd_eval.evaluators.corruption.cell_metrics import NAMES
from sdd_eval.evaluators.corruption.cells import UNCORRUPTED, Cell, Cells, cells_of
from sdd_eval.evaluators.settings import arrays_of, with_arrays_of
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    NINETEEN,
    SEVERITIES,
    corruption_errors,
    relative_corruption_errors,
)
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic
from sdd_eval.store import read_run

#: What the mean over the 15 has for a corruption; where its frost is from stands behind it.
MEAN = "mean of 15"


def of_corruption(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Accuracy and ECE of the cells that were looked at, and of means over whole sets of them."""
    cells = cells_of(arrays)
    places = cells.corrupted
    right = np.stack([cells.correct[cell] for cell in places], axis=1)
    sure = np.stack([cells.confidence[cell] for cell in places], axis=1)
    yield shares([_key("accuracy", *cell) for cell in places], list(right.T))
    frost = str(arrays["frost"][0])
    groups = {_key("accuracy", name): _all(name) for name in _names(places)}
    for metric, over in zip(NAMES[frost], (FIFTEEN, NINETEEN), strict=True):
        groups[key(metric)] = [cell for name in over for cell in _all(name)]
    whole = _whole(groups, places)
    yield means(list(whole), [right[:, members].mean(axis=1) for members in whole.values()])
    yield _calibration(places, sure, right, frost, int(settings["bins"]))
    yield from of_baseline(cells, arrays, settings)


def _calibration(
    places: Sequence[Cell], sure: Any, right: Any, frost: str, bins: int
) -> KeyedStatistic:
    """ECE of each cell, and its means over severities, corruptions, and both."""
    mean = MEAN + ("" if frost == "official" else f", {frost} frost")
    groups = {_key("ece", *cell): [cell] for cell in places}
    groups |= {_key("ece", name): _all(name) for name in _names(places)}
    for severity in SEVERITIES:
        groups[_key("ece", mean, severity)] = [(name, severity) for name in FIFTEEN]
    groups[_key("ece", mean)] = [cell for name in FIFTEEN for cell in _all(name)]
    whole = _whole(groups, places)
    averaging = np.zeros((len(places), len(whole)))
    for column, members in enumerate(whole.values()):
        averaging[members, column] = 1 / len(members)
    of_cells = calibration_errors(sure, right, bins)

    def finish(sums: Floats) -> Floats:
        found: Floats = of_cells.finish(sums) @ averaging
        return found

    return KeyedStatistic(tuple(whole), SumStatistic(of_cells.columns, finish, of_cells.images))


def _key(metric: str, corruption: str, severity: int | None = None) -> Key:
    at = {"corruption": corruption} | ({} if severity is None else {"severity": severity})
    return key(metric, **at)


def _all(name: str) -> list[Cell]:
    return [(name, severity) for severity in SEVERITIES]


def _names(places: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in places))


def _whole(groups: Mapping[Key, Sequence[Cell]], places: Sequence[Cell]) -> dict[Key, list[int]]:
    """Of the groups whose cells are all there, where these are."""
    at = {cell: index for index, cell in enumerate(places)}
    return {
        name: [at[cell] for cell in members]
        for name, members in groups.items()
        if all(cell in at for cell in members)
    }


#: A resample has a ratio wherever its baseline loses anything.
LEAST = 1e-9


def with_baseline(found: StoredRun) -> Arrays:
    """A run's arrays, and beside them those of the baseline that it was scored against.

    Without the run of a network of it in the study's folder there are none of the baseline.
    """
    names = tuple(map(str, found.run.settings.get("baseline") or ()))
    others = {name: _run_of(found, name) for name in names}
    if not all(others.values()):
        return dict(found.run.arrays)
    return with_arrays_of(
        dict(found.run.arrays), {name: dict(each.arrays) for name, each in others.items() if each}
    )


def _run_of(found: StoredRun, checkpoint: str) -> Any:
    """The newest run of a network on the same images in the same way; None where there is none."""
    alike = []
    for path in _runs(found.path.parent.parent / checkpoint, found.run.evaluator):
        try:
            run = read_run(path)
        except InputError:
            continue
        if run.dataset == found.run.dataset and not _otherwise(found, run):
            alike.append(run)
    return max(alike, key=lambda run: str(run.provenance.get("created", "")), default=None)


def _runs(folder: Path, evaluator: str) -> list[Path]:
    return sorted(folder.glob(f"{evaluator}-*.json"))


def _otherwise(found: StoredRun, run: Any) -> list[str]:
    """In what a baseline's run differs, but for its standardisation, which is its own."""
    return [
        each for each in run_differences(found.run, run) if not each.startswith("standardisation")
    ]


def of_baseline(
    cells: Cells, arrays: Arrays, settings: Mapping[str, Any]
) -> Iterator[KeyedStatistic]:
    """CE, relative CE and their means over the 15; the baseline is the same on both sides."""
    names = tuple(map(str, settings.get("baseline") or ()))
    theirs = [arrays_of(name, arrays) for name in names]
    if not theirs or not all(theirs):
        return
    baseline = [cells_of(each) for each in theirs]
    whole = whole_corruptions([cells, *baseline])
    if whole:
        frost = SUFFIXES[str(arrays["frost"][0])]
        columns = np.concatenate([_errors([cells], whole), _errors(baseline, whole)], axis=1)
        yield _ratios(columns.astype(np.float32), whole, frost)


def _errors(networks: Sequence[Cells], names: Sequence[str]) -> Floats:
    """What each image adds to the clean error and to each corruption's mean error (n, 1 + C)."""
    right = [
        [
            each.correct[UNCORRUPTED],
            *(np.mean([each.correct[name, s] for s in SEVERITIES], axis=0) for name in names),
        ]
        for each in networks
    ]
    errors: Floats = 1 - np.mean(np.asarray(right, dtype=np.float64), axis=0).T
    return errors


def _ratios(columns: Any, names: Sequence[str], frost: str) -> KeyedStatistic:
    """The ratios of every corruption, then their means where all 15 are there."""
    n = len(columns)
    keys = [key(metric, corruption=name) for metric in (CE, RELATIVE) for name in names]
    fifteen = [names.index(name) for name in FIFTEEN] if set(FIFTEEN) <= set(names) else []
    if fifteen:
        keys += [
            key(each.replace("corruption", "mean_corruption") + frost) for each in (CE, RELATIVE)
        ]

    def finish(sums: Floats) -> Floats:
        own, theirs = np.split(sums / n, 2, axis=1)
        plain = corruption_errors(own[:, 1:], theirs[:, 1:])
        relative = relative_corruption_errors(
            own[:, 1:], own[:, 0], theirs[:, 1:], theirs[:, 0], least=LEAST
        )
        means = [each[:, fifteen].mean(axis=1, keepdims=True) for each in (plain, relative)]
        return np.concatenate([plain, relative, *(means if fifteen else [])], axis=1)

    return KeyedStatistic(tuple(keys), SumStatistic(columns, finish, n))
