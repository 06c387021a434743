"""Calibration errors over bins, as quantities that can be resampled: many columns at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.statistics.bootstrap import Floats, Quantity, Weights
from sdd_eval.statistics.empirical_bayes import without_noise

#: Columns of so many bins altogether are summed by one matrix product: n times so many float32.
TOGETHER = 64


def binned_errors_of(
    residuals: ArrayLike, index: NDArray[np.int64], bins: int, noise: Floats | None = None
) -> Quantity:
    """The quantity Σ over bins of |weighted sum of the residuals in it| / sum of the weights.

    With residuals correct − confidence that is ECE. `residuals` and `index`, the bin from 0 of
    each, are (n, columns); the quantity maps weights (k, n) to (k, columns). Every column of an
    image is drawn together with it. Sums are formed in float32: right to about 1e-6.

    With `noise`, the standard deviation (columns, bins) of such a sum of n images over n, it maps
    to (k, columns, 2): the same, and less what so much noise adds to it.

    >>> error = binned_errors_of([[0.5], [-0.25]], np.array([[0], [1]]), 2)
    >>> error(np.array([[1, 1], [2, 0]], dtype=np.float32)).tolist()
    [[0.375], [0.5]]
    """
    values = np.asarray(residuals, dtype=np.float32)
    images, columns = values.shape
    step = max(1, TOGETHER // bins)

    def error(weights: Weights) -> Floats:
        found = np.empty((len(weights), columns, 1 if noise is None else 2))
        totals = weights.sum(axis=1, dtype=np.float64)[:, None, None]
        for first in range(0, columns, step):
            part = slice(first, min(first + step, columns))
            apart = np.zeros((images, part.stop - first, bins), dtype=np.float32)
            np.put_along_axis(apart, index[:, part, None], values[:, part, None], axis=2)
            sums = (weights @ apart.reshape(images, -1)).reshape(len(weights), -1, bins) / totals
            found[:, part, 0] = np.abs(sums).sum(axis=2)
            if noise is not None:
                found[:, part, 1] = without_noise(sums, noise[part]).sum(axis=2)
        return found[..., 0] if noise is None else found

    return error
