"""Calibration errors over bins, as quantities that can be resampled: many columns at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.statistics.bootstrap import Floats, Quantity, Weights

#: Columns of so many bins altogether are summed by one matrix product: n times so many float32.
TOGETHER = 64


def binned_errors_of(residuals: ArrayLike, index: NDArray[np.int64], bins: int) -> Quantity:
    """The quantity Σ over bins of |weighted sum of the residuals in it| / sum of the weights.

    With residuals correct − confidence that is ECE. `residuals` and `index`, the bin from 0 of
    each, are (n, columns); the quantity maps weights (k, n) to (k, columns). Every column of an
    image is drawn together with it. Sums are formed in float32: right to about 1e-6.

    >>> error = binned_errors_of([[0.5], [-0.25]], np.array([[0], [1]]), 2)
    >>> error(np.array([[1, 1], [2, 0]], dtype=np.float32)).tolist()
    [[0.375], [0.5]]
    """
    values = np.asarray(residuals, dtype=np.float32)
    images, columns = values.shape
    step = max(1, TOGETHER // bins)

    def error(weights: Weights) -> Floats:
        found = np.empty((len(weights), columns))
        for first in range(0, columns, step):
            part = slice(first, min(first + step, columns))
            apart = np.zeros((images, part.stop - first, bins), dtype=np.float32)
            np.put_along_axis(apart, index[:, part, None], values[:, part, None], axis=2)
            sums = (weights @ apart.reshape(images, -1)).reshape(len(weights), -1, bins)
            found[:, part] = np.abs(sums).sum(axis=2)
        found /= weights.sum(axis=1, dtype=np.float64)[:, None]
        return found

    return error
