"""The bootstrap over images: how often each image is drawn, and the interval that follows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError
from sdd_eval.statistics.interval import LEVEL, Interval

#: How many resamples an interval takes.
RESAMPLES = 2000
#: How many counts are held at once: 64 MiB of float32.
HELD = 1 << 24


def resampled(n: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Blocks (k, n) of how often each of n images is drawn, `resamples` rows in all.

    A row sums to n. The same (n, resamples, seed) always give the same rows, so every quantity of
    one set of images may be resampled with them, alone, and still be paired with the others.

    Raises:
        InputError: no images or no resamples.

    >>> [block.sum(axis=1).tolist() for block in resampled(3, 2)]
    [[3.0, 3.0]]
    """
    if n < 1 or resamples < 1:
        raise InputError(f"{resamples} resamples of {n} images; at least 1 of each is needed")
    generator = np.random.default_rng(seed)
    rows = max(1, HELD // n)
    for begin in range(0, resamples, rows):
        drawn = min(rows, resamples - begin)
        counts = np.empty((drawn, n), dtype=np.float32)
        for row in counts:
            row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
        yield counts


def resampled_means(
    values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Means (resamples, …) of per-image values (n, …) over the resamples of the images.

    Everything about an image that stands in its row is drawn together with it.
    """
    array = np.asarray(values, dtype=np.float64)
    flat = array.reshape(len(array), -1)
    blocks = [block @ flat for block in resampled(len(array), resamples, seed)]
    return np.concatenate(blocks).reshape(resamples, *array.shape[1:]) / len(array)


def basic(
    estimate: float,
    replicates: ArrayLike,
    *,
    level: float = LEVEL,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Interval:
    """The basic bootstrap interval: the replicates' quantiles reflected at the estimate.

    A quantity that is biased upwards in small samples, as ECE is, is biased once more in every
    resample; reflecting takes that off again where percentiles would add it. Cut at what the
    quantity can be (Davison and Hinkley 1997, section 5.2).

    Replicates that are NaN, of resamples in which the quantity is not defined, are left out.

    >>> found = basic(0.5, [0.25, 0.5, 0.875], level=1.0, highest=0.7)
    >>> (found.low, found.high)
    (0.125, 0.7)
    """
    drawn = np.asarray(replicates, dtype=np.float64)
    drawn = drawn[~np.isnan(drawn)]
    how = f"basic bootstrap, {len(drawn):,} resamples of the images"
    if not len(drawn):
        return Interval(math.nan, math.nan, level, how)
    lower, upper = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    low, high = 2 * estimate - upper, 2 * estimate - lower
    low, high = np.clip([low, high], lowest, highest).tolist()
    return Interval(low, high, level, how)
