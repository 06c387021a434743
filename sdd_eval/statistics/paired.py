"""Two networks on the same images: how much do they differ, and may it be chance?

Both the bootstrap and the permutation test keep what the networks have in common, the images: an
image is drawn for both sides, or its two sides are swapped.

Sources: Efron, Tibshirani (1993), "An introduction to the bootstrap"; Phipson, Smyth (2010),
"Permutation p-values should never be zero"; Venkatraman, Begg (1996), "A distribution-free
procedure for comparing receiver operating characteristic curves from a paired experiment".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import (
    HELD,
    RESAMPLES,
    Floats,
    Quantity,
    Weights,
    replicates,
)

#: Of two numbers that differ by less than this share, neither is the more extreme.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Pair:
    """A quantity of the first network and of the second, and of their images thrown together.

    `both` takes weights (k, 2n): of the first's n images, then of the second's. `images` are n, or
    the sizes of several sets of images that stand one after the other.
    """

    first: Quantity
    second: Quantity
    both: Quantity
    images: int | tuple[int, ...]

    @property
    def n(self) -> int:
        """How many images a side has."""
        return self.images if isinstance(self.images, int) else sum(self.images)

    @property
    def difference(self) -> Floats:
        """Second minus first, on the images as they are (…)."""
        once = np.ones((1, self.n), dtype=np.float32)
        found: Floats = (self.second(once) - self.first(once))[0]
        return found


def pair_of(
    make: Callable[..., Quantity],
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    images: int | Sequence[int] | None = None,
) -> Pair:
    """A pair from what `make` needs of each network: per-image arrays (n, …), in the same order.

    `images` gives the sizes of several sets whose images stand one after the other (in-distribution
    and outliers); they are resampled apart. Scores of two networks mean the same only as ranks
    among a network's own (Venkatraman and Begg 1996).

    Raises:
        InputError: the two sides have different numbers of images, or not those of `images`.

    >>> from sdd_eval.statistics.bootstrap import mean_of
    >>> float(pair_of(mean_of, [[1, 0, 0]], [[1, 1, 1]]).difference.round(6))
    0.666667
    """
    one, other = ([np.asarray(each) for each in side] for side in (first, second))
    n = len(one[0])
    if any(len(each) != n for each in (*one, *other)):
        raise InputError(f"sides of {n} and {len(other[0])} images are not of the same images")
    sizes = n if images is None or isinstance(images, int) else tuple(images)
    if (sizes if isinstance(sizes, int) else sum(sizes)) != n:
        raise InputError(f"sets of {images} images are not the {n} of each side")
    stacked = [np.concatenate(columns) for columns in zip(one, other, strict=True)]
    return Pair(make(*one), make(*other), make(*stacked), sizes)


def paired_replicates(pair: Pair, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Second minus first (resamples, …), both over the same resamples of the images.

    `basic(pair.difference, …)` makes the interval of the difference of them.
    """
    return replicates(
        lambda counts: pair.second(counts) - pair.first(counts), pair.images, resamples, seed
    )


def permutation_p(pair: Pair, permutations: int, seed: int = 0) -> NDArray[np.float64]:
    """Two-sided p-values (…) of the paired permutation test: (b + 1) / (B + 1).

    Where the networks do not differ it is chance which of an image's two values is whose. In each
    of B `permutations` a coin per image swaps them; b counts differences no smaller than the real
    one, those that are not defined among them. So p is never 0, and valid with any B.

    Raises:
        InputError: no permutations.

    >>> from sdd_eval.statistics.bootstrap import mean_of
    >>> same = pair_of(mean_of, [[1, 0]], [[1, 0]])
    >>> float(permutation_p(same, 99))
    1.0
    """
    if permutations < 1:
        raise InputError(f"{permutations} permutations; at least 1 is needed")
    real = np.abs(pair.difference)
    nearly = real * (1 - ROUNDING) - ROUNDING**2
    extreme = np.zeros(real.shape)
    for swapped in _coins(pair.n, permutations, seed):
        kept = 1 - swapped
        second = pair.both(np.concatenate([swapped, kept], axis=1))
        first = pair.both(np.concatenate([kept, swapped], axis=1))
        extreme += (~(np.abs(second - first) < nearly)).sum(axis=0)
    return np.asarray((extreme + 1) / (permutations + 1))


def _coins(n: int, permutations: int, seed: int) -> Iterator[Weights]:
    """Blocks (k, n) of which images are swapped, as 0 or 1."""
    generator = np.random.default_rng(seed)
    rows = max(1, HELD // (2 * n))
    for begin in range(0, permutations, rows):
        size = (min(rows, permutations - begin), n)
        yield generator.integers(0, 2, size=size, dtype=np.uint8).astype(np.float32)


def permutations_for(family: int, level: float = 0.05, room: int = 50) -> int:
    """How many permutations a family of so many tests needs under Holm's adjustment.

    Holm rejects the first where p ≤ level / family; with B permutations p is at least 1 / (B + 1).
    With `room` = 50, as many as 50 multiples of that lie below the threshold, where p is known to
    about 1 part in 7 (1 / √50).

    Raises:
        InputError: no tests, a level that is not within (0, 1), or no room.

    >>> permutations_for(1), permutations_for(20)
    (999, 19999)
    """
    if family < 1 or not 0 < level < 1 or room < 1:
        raise InputError(f"a family of {family} tests at level {level:g} with room {room}")
    return math.ceil(round(room * family / level, 6)) - 1
