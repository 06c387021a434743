"""How far dropout masks move the logits: means over the test set and over sets of outliers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sdd_eval.comparison.numbers import Arrays, Key, Part, key
from sdd_eval.evaluators.mask_variance import SPREAD, SQUARES
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import Sums


def of_mask_variance(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
    """The variance of each set, over the logits' own, and how many times the test set's it is."""
    outside = [name.removeprefix(SQUARES) for name in arrays if name.startswith(f"{SQUARES}_")]
    sets = ["", *outside]
    scale = float(settings["drop"]) / (1 - float(settings["drop"]))
    variances = [scale * np.asarray(arrays[SQUARES + each]) for each in sets]
    spreads = [np.asarray(arrays[SPREAD + each]) for each in sets]
    sizes = tuple(map(len, variances))
    columns = np.zeros((sum(sizes), 3 * len(sets)), dtype=np.float32)
    begin = 0
    for place, (variance, spread) in enumerate(zip(variances, spreads, strict=True)):
        known = spread > 0
        relative = np.divide(variance, spread, out=np.zeros(len(variance)), where=known)
        rows = slice(begin, begin := begin + len(variance))
        columns[rows, 3 * place : 3 * place + 3] = np.stack([variance, relative, known], axis=1)

    def finish(sums: Floats) -> Floats:
        variance, relative, known = np.moveaxis(sums.reshape(-1, len(sizes), 3), -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            plain = variance / np.array(sizes)
            return np.concatenate([plain, relative / known, plain[:, 1:] / plain[:, :1]], axis=1)

    keys = [*_keys("mask_variance", sets), *_keys("mask_variance_relative", sets)]
    keys += _keys("mask_variance_ratio", outside)
    yield Part(tuple(keys), Sums(columns, finish, sizes))


def _keys(metric: str, sets: list[str]) -> list[Key]:
    """A key a set; the test set's has no name."""
    return [key(metric, **({"outliers": each[1:]} if each else {})) for each in sets]
