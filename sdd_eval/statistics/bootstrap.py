"""The bootstrap over images: how often each image is drawn, and the interval that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError
from sdd_eval.statistics.intervals import LEVEL, Interval

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]
#: Weights (k, n) of n images → values (k, …): what a number is where images count so often.
WeightedStatistic = Callable[[Weights], Floats]

#: How many resamples an interval takes.
RESAMPLES = 2000
#: How many counts are held at once: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


def resample_counts(
    images: int | Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[Weights]:
    """Blocks (k, n) of how often each of n images is drawn, `resamples` rows in all.

    A row sums to n. The same (n, resamples, seed) always give the same rows, so every quantity of
    one set of images may be resampled with them, alone, and still be paired with the others.
    Of several sets, `images` gives the sizes: each is resampled by itself, and their counts stand
    side by side; the first set's are what they would be without the others.

    Raises:
        InputError: no images or no resamples.

    >>> [block.sum(axis=1).tolist() for block in resample_counts(3, 2)]
    [[3.0, 3.0]]
    >>> [block[:, :3].sum(axis=1).tolist() for block in resample_counts((3, 5), 2)]
    [[3.0, 3.0]]
    """
    sizes = (images,) if isinstance(images, int) else tuple(images)
    if not sizes or min(sizes) < 1 or resamples < 1:
        told = " and ".join(map(str, sizes)) or "no"
        raise InputError(f"{resamples} resamples of {told} images; at least 1 of each is needed")
    generators = [
        np.random.default_rng((seed, index) if index else seed) for index in range(len(sizes))
    ]
    rows = max(1, BLOCK_SIZE // sum(sizes))
    for begin in range(0, resamples, rows):
        drawn = min(rows, resamples - begin)
        yield np.concatenate(
            [_counts(size, drawn, each) for size, each in zip(sizes, generators, strict=True)],
            axis=1,
        )


def _counts(n: int, rows: int, generator: np.random.Generator) -> Weights:
    """How often each of n images is drawn (rows, n)."""
    counts = np.empty((rows, n), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return counts


def bootstrap_replicates(
    quantity: WeightedStatistic,
    images: int | Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """What a quantity is in each resample of the images (resamples, …); see `resample_counts`.

    >>> bootstrap_replicates(lambda weights: weights.sum(axis=1) / 4.0, 4, 2).tolist()
    [1.0, 1.0]
    """
    return np.concatenate([quantity(block) for block in resample_counts(images, resamples, seed)])


def weighted_mean(values: ArrayLike) -> WeightedStatistic:
    """The quantity that is a weighted mean of per-image values (n, …).

    Everything about an image that stands in its row is drawn together with it.

    >>> weighted_mean([1.0, 5.0])(np.array([[1, 1], [2, 0]], dtype=np.float32)).tolist()
    [3.0, 1.0]
    """
    array = np.asarray(values, dtype=np.float64)
    flat = array.reshape(len(array), -1)

    def mean(weights: Weights) -> Floats:
        totals = weights.sum(axis=1, dtype=np.float64)[:, None]
        means: Floats = (weights @ flat) / totals
        return means.reshape(-1, *array.shape[1:])

    return mean


def bootstrap_means(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Means (resamples, …) of per-image values (n, …) over the resamples of the images.

    >>> bootstrap_means([2.0, 2.0], 3).tolist()
    [2.0, 2.0, 2.0]
    """
    return bootstrap_replicates(weighted_mean(values), len(np.asarray(values)), resamples, seed)


def basic_interval(
    estimate: float,
    bootstrap_replicates: ArrayLike,
    *,
    level: float = LEVEL,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Interval:
    """The basic bootstrap interval: the replicates' quantiles reflected at the estimate.

    A quantity that is biased upwards in small samples, as ECE is, is biased once more in every
    resample; reflecting takes that off again where percentiles would add it. Cut at what the
    quantity can be (Davison and Hinkley 1997, section 5.2).
    Simulated with an ECE of .18 in ten bins, 95 % intervals held the truth in 90 to 93 % of samples
    of 500 to 600 images, and in 96 % of 1,000.

    Replicates that are NaN, of resamples in which the quantity is not defined, are left out.

    >>> found = basic_interval(0.5, [0.25, 0.5, 0.875], level=1.0, highest=0.7)
    >>> (found.low, found.high)
    (0.125, 0.7)
    """
    found = percentile_interval(bootstrap_replicates, level=level)
    low, high = 2 * estimate - found.high, 2 * estimate - found.low
    low, high = np.clip([low, high], lowest, highest).tolist()
    return Interval(low, high, level, found.how.replace("percentile", "basic"))


def percentile_interval(bootstrap_replicates: ArrayLike, *, level: float = LEVEL) -> Interval:
    """The replicates' own quantiles, for numbers that are read off at a quantile of scores.

    FPR at 95 % TPR is: its distribution is skewed, and reflected it covered 83 to 90 % in
    simulations (300 against 200 images) where these cover 92 to 95 % (Efron, Tibshirani 1993).

    >>> percentile_interval([0.25, 0.5, 0.875], level=1.0).high
    0.875
    """
    drawn = np.asarray(bootstrap_replicates, dtype=np.float64)
    drawn = drawn[~np.isnan(drawn)]
    how = f"percentile bootstrap, {len(drawn):,} seeded resamples of the images"
    if not len(drawn):
        return Interval(math.nan, math.nan, level, how)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2]).tolist()
    return Interval(low, high, level, how)


def log_odds_interval(
    estimate: float, bootstrap_replicates: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """The basic interval of a number within (0, 1), formed of its log-odds and taken back.

    For areas and errors of rankings: their distributions are skewed towards the middle of (0, 1).
    In simulations (300 against 200 images) it covered 91 to 95 % and the plain basic one 87 to
    94 %. Numbers of 0 or 1 have no log-odds; theirs is the percentiles' (Davison, Hinkley 1997,
    section 5.2.1).

    >>> found = log_odds_interval(0.5, [0.2, 0.5, 0.9], level=1.0)
    >>> round(found.low, 6), round(found.high, 6)
    (0.1, 0.8)
    """
    found = percentile_interval(bootstrap_replicates, level=level)
    if not 0 < estimate < 1 or math.isnan(found.low):
        return found
    low, high = _log_odds(np.array([found.low, found.high]))
    middle = _log_odds(np.array(estimate))
    low, high = 1 / (1 + np.exp(-(2 * middle - np.array([high, low]))))
    how = found.how.replace("percentile bootstrap", "basic bootstrap of the log-odds")
    return Interval(float(low), float(high), level, how)


def _log_odds(shares: Floats) -> Floats:
    """Log-odds of shares, of 0 and 1 as if they were a millionth off."""
    kept = np.clip(shares, 1e-6, 1 - 1e-6)
    odds: Floats = np.log(kept / (1 - kept))
    return odds
