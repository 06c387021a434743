"""The numbers of corrupted images: of each cell, each corruption, and the benchmark's means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdd_eval.comparison.baselines import of_baseline
from sdd_eval.comparison.numbers import Arrays, Key, Part, calibration_errors, key, means, shares
from sdd_eval.evaluators.corruption.cell_metrics import NAMES
from sdd_eval.evaluators.corruption.cells import Cell, cells_of
from sdd_eval.metrics.corruption_names import FIFTEEN, NINETEEN, SEVERITIES
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import Sums

#: What the mean over the 15 has for a corruption; where its frost is from stands behind it.
MEAN = "mean of 15"


def of_corruption(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
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


def _calibration(places: Sequence[Cell], sure: Any, right: Any, frost: str, bins: int) -> Part:
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

    return Part(tuple(whole), Sums(of_cells.columns, finish, of_cells.images))


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
