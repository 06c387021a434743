"""The difference of two methods over new seeds and new images at once.

Two chances come together: which seeds were trained, and which images they were tested on. Images
are the same for all networks, so a resample of them moves every network at once; seeds are not.

Sources: Owen (2007), "The pigeonhole bootstrap" (both factors are resampled); Davison, Hinkley
(1997), "Bootstrap methods and their application", section 2.4 (what a few values are stretched by).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import Floats, basic
from sdd_eval.statistics.interval import LEVEL, Interval
from sdd_eval.statistics.seeds import spread, welch

#: How many seeds a side needs for a sentence about a method, and not about a network.
SEEDS = 3


def seeds_and_images(
    first: ArrayLike,
    first_replicates: ArrayLike,
    second: ArrayLike,
    second_replicates: ArrayLike,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The interval of mean of `second` minus mean of `first` under new seeds and new images.

    `first` (s,) and `second` (t,) are a number of each network of a side, and the replicates
    (resamples, s) and (resamples, t) the same numbers in the same resamples of the same images.
    To the change of the difference in a resample of the images is added that in one of the seeds.
    Two corrections keep both honest. Of s seeds a resample spreads too little: their part is
    stretched by √(s / (s − 1)), and by the quantile of Student's t (Welch's degrees of freedom)
    over the normal one. And the spread over seeds already holds what each network does on images
    of its own accord: the images' part is shrunk to the variance that the networks of a side share.

    Raises:
        InputError: a side has fewer than two seeds, or replicates of other shapes.

    >>> same = np.zeros((100, 2))
    >>> found = seeds_and_images([0.5, 0.5], same + 0.5, [0.75, 0.75], same + 0.75)
    >>> found.low, found.high
    (0.25, 0.25)
    """
    a, b = (np.asarray(side, dtype=np.float64) for side in (first, second))
    of_a, of_b = (np.asarray(r, dtype=np.float64) for r in (first_replicates, second_replicates))
    if min(len(a), len(b)) < 2:
        raise InputError(f"{len(a)} and {len(b)} seeds; at least 2 a side are needed")
    if of_a.shape[1:] != a.shape or of_b.shape[1:] != b.shape or len(of_a) != len(of_b):
        raise InputError(
            f"replicates of shapes {of_a.shape} and {of_b.shape} are not those of "
            f"{len(a)} and {len(b)} seeds"
        )
    estimate = float(b.mean() - a.mean())
    generator = np.random.default_rng(seed)
    of_seeds = _moved(b, len(of_b), generator) - _moved(a, len(of_a), generator)
    of_images = of_b.mean(axis=1) - of_a.mean(axis=1) - estimate
    changed = estimate + _shared(of_a, of_b) * of_images + _stretch(a, b, level) * of_seeds
    found = basic(estimate, changed, level=level)
    how = f"basic bootstrap, {len(of_a):,} resamples of the seeds and of the images"
    return Interval(found.low, found.high, level, how)


def _moved(values: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """By how much the mean moves in each resample of the values, with the spread of a mean."""
    n = len(values)
    drawn = values[generator.integers(n, size=(resamples, n))].mean(axis=1)
    moved: Floats = (drawn - values.mean()) * math.sqrt(n / (n - 1))
    return moved


def _shared(of_a: Floats, of_b: Floats) -> float:
    """By what the images' part is shrunk: to that which all networks of a side have in common."""
    variance = float((of_b.mean(axis=1) - of_a.mean(axis=1)).var())
    own = sum(
        (side.var(axis=0).mean() - side.mean(axis=1).var()) / (side.shape[1] - 1)
        for side in (of_a, of_b)
    )
    return math.sqrt(max(0.0, 1 - own / variance)) if variance > 0 else 0.0


def _stretch(a: Floats, b: Floats, level: float) -> float:
    """How much wider a t interval is than a normal one."""
    from scipy.special import ndtri, stdtrit

    error, freedom = welch(spread(a), spread(b))
    return float(stdtrit(freedom, 0.5 + level / 2) / ndtri(0.5 + level / 2)) if error else 1.0
