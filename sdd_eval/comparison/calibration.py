"""Calibration errors as numbers that images add up to, before and after temperature scaling.

Scaled by its own temperature, as it was fitted, a network is one more network: images are swapped
with the confidences that they have there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.comparison.statistic import Arrays, KeyedStatistic, key, means
from sdd_eval.metrics.calibration import (
    BinSums,
    bin_index,
    debiased_ece_of_bins,
    debiased_l2_of_bins,
    ece_of_bins,
    equal_mass_sizes,
    mce_of_bins,
)
from sdd_eval.metrics.classification import brier_per_image, confidence_and_correct, nll_per_image
from sdd_eval.metrics.smooth_ece import residuals_on_grid, smooth_ece_of_grid
from sdd_eval.metrics.temperature import cross_fit
from sdd_eval.metrics.weighted_calibration import CELLS, classwise_residuals
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

#: What is made of the sums of equal-width bins.
EQUAL_WIDTH = {
    "ece": ece_of_bins,
    "mce": mce_of_bins,
    "ece_debiased": debiased_ece_of_bins,
    "ece_debiased_l2": debiased_l2_of_bins,
}
#: Cells by confidence, half of them by log2(1 − confidence) down to 2⁻³²: bins of equally many
#: images are cut within a cell as among equal confidences, which moves the error by some 1e-4 of
#: many images. Up to `FEW`, an image is so large a share that hardly two may be in one cell.
RANKED, FINE = 2048, 1 << 20
FEW = 4096


def of_calibration(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """All errors, NLL and Brier score of the network as it is, and after temperature scaling."""
    logits, labels, bins = arrays["logits"], arrays["labels"], int(settings["bins"])
    yield from _errors(logits, labels, bins)
    if "temperature" in arrays:
        scaled = logits / np.asarray(arrays["temperature"])[:, None]
        yield from _errors(scaled, labels, bins, temperature="validation")
    elif len(labels) > 1:
        scaled = cross_fit(logits, labels).logits
        yield from _errors(scaled, labels, bins, temperature="cross-fitted")


def _errors(
    logits: NDArray[Any], labels: NDArray[Any], bins: int, **at: str
) -> Iterator[KeyedStatistic]:
    """The errors of some logits, those that take longer by themselves."""
    sure, right = confidence_and_correct(logits, labels)
    yield _equal_widths(sure, right, bins, at)
    values = [nll_per_image(logits, labels), brier_per_image(logits, labels)]
    yield means([key("nll", **at), key("brier", **at)], values)
    n = len(sure)
    columns = classwise_residuals(logits, labels, bins)
    classes = columns.shape[1] // bins
    classwise = SumStatistic(
        columns, lambda sums: np.abs(sums).sum(axis=1)[:, None] / (n * classes), n
    )
    yield KeyedStatistic((key("ece_classwise", **at),), classwise)
    yield KeyedStatistic((key("ece_adaptive", **at),), _adaptive(sure, right, bins))
    grid = residuals_on_grid(sure, right - sure, CELLS)
    smooth = SumStatistic(grid, lambda sums: smooth_ece_of_grid(sums / n)[:, None], n)
    yield KeyedStatistic((key("ece_smooth", **at),), smooth)


def _equal_widths(
    sure: Floats, right: NDArray[np.bool_], bins: int, at: Mapping[str, str]
) -> KeyedStatistic:
    """The errors over equal-width bins: each holds its images, what is right, and the residuals.

    Residuals, not confidences: small sums lose nothing in float32.
    """
    n = len(sure)
    columns = np.zeros((n, bins, 3), dtype=np.float32)
    columns[np.arange(n), bin_index(sure, bins)] = np.stack([np.ones(n), right, right - sure], 1)

    def finish(sums: Floats) -> Floats:
        count, rights, residual = np.moveaxis(sums.reshape(-1, bins, 3), -1, 0)
        held = BinSums(count, rights - residual, rights)
        return np.stack([make(held) for make in EQUAL_WIDTH.values()], axis=-1)

    keys = tuple(key(metric, **at) for metric in EQUAL_WIDTH)
    return KeyedStatistic(keys, SumStatistic(columns.reshape(n, -1), finish, n))


def _adaptive(sure: Floats, right: NDArray[np.bool_], bins: int) -> SumStatistic:
    """The error over bins of equally many images: images and residuals are counted by cell."""
    from scipy.sparse import csr_matrix

    n = len(sure)
    cells = RANKED if n > FEW else FINE
    cell = _ranked(sure, cells)
    values = np.stack([np.ones(n), right - sure], axis=1).astype(np.float32)
    places = np.stack([cell, cell + cells], axis=1)
    ends = np.arange(0, 2 * n + 1, 2)
    columns = csr_matrix((values.ravel(), places.ravel(), ends), shape=(n, 2 * cells))
    cuts = np.cumsum([0, *equal_mass_sizes(n, bins)])

    def finish(sums: Floats) -> Floats:
        held = sums.reshape(len(sums), 2, -1)
        reached = np.zeros((len(sums), 2, held.shape[2] + 1))
        np.cumsum(held, axis=2, out=reached[:, :, 1:])
        at_cuts = np.stack([np.interp(cuts, counts, gaps) for counts, gaps in reached])
        found: Floats = np.abs(np.diff(at_cuts)).sum(axis=1)[:, None] / n
        return found

    return SumStatistic(columns, finish, n, packed=True)


def _ranked(sure: Floats, cells: int) -> NDArray[np.int64]:
    """The cell of each confidence, rising with it.

    >>> _ranked(np.array([0.0, 0.5, 1.0]), 2048).tolist()
    [0, 544, 2047]
    """
    depth = np.minimum(-np.log2(np.maximum(1 - sure, 2.0**-32)), 32) / 32
    return np.minimum((sure + depth) / 2 * cells, cells - 1).astype(np.int64)
