"""Numbers that follow from sums over images: tested and resampled by one matrix product.

Accuracies, means, calibration errors and all that ranks decide are such numbers. Swapping images
between two networks then only moves their difference from one side to the other, so a permutation
costs one product where a quantity of any kind is computed twice anew.

Both the bootstrap and the permutation test keep what two networks have in common, the images: an
image is drawn for both sides, or its two sides are swapped.

Sources: Efron, Tibshirani (1993), "An introduction to the bootstrap"; Phipson, Smyth (2010),
"Permutation p-values should never be zero"; Venkatraman, Begg (1996), "A distribution-free
procedure for comparing receiver operating characteristic curves from a paired experiment"; Besag,
Clifford (1991), "Sequential Monte Carlo p-values".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import BLOCK_SIZE, RESAMPLES, Floats, Weights, resample_counts

#: A row is done where so many permutations are no less extreme: p is then known to 1 part in 7.
EXCEEDANCES = 50
#: What float32 sums may differ by, as a share of the number and in itself.
RELATIVE, ABSOLUTE = 1e-5, 1e-7


@dataclass(frozen=True)
class SumStatistic:
    """Numbers (rows,) of one network: `finish` makes them of the sums of its images' `columns`.

    `columns` (n, m) are a dense array or a scipy sparse one; `finish` maps sums (k, m) to numbers
    (k, rows). `images` are n, or the sizes of several sets that stand one after the other. It is a
    quantity: weights (k, n) of the images → numbers (k, rows). Columns that are `packed`, sparse
    ones of a fine grid, reach `finish` without those that hold no image, in their order.
    """

    columns: Any
    finish: Callable[[Floats], Floats]
    images: int | tuple[int, ...]
    packed: bool = False

    def __call__(self, weights: Weights) -> Floats:
        """The numbers (k, rows) where images count so often."""
        return self.finish(_times(weights, self._held))

    @property
    def values(self) -> Floats:
        """The numbers on the images as they are."""
        found: Floats = self(np.ones((1, self.columns.shape[0]), dtype=np.float32))[0]
        return found

    @cached_property
    def _held(self) -> Any:
        """The columns that `finish` takes the sums of."""
        return _held(self)[0]


def permutation_p_values(
    first: SumStatistic,
    second: SumStatistic,
    permutations: int,
    *,
    enough: int = EXCEEDANCES,
    seed: int = 0,
    told: Callable[[int], object] = lambda count: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two-sided p-values (rows,) of the paired permutation test, and how many each took.

    Where the networks do not differ it is chance which of an image's two values is whose. In each
    of B permutations a coin per image swaps them; b counts differences no smaller than the real
    one, those that are not defined among them. p = (b + 1) / (B + 1) is never 0, and valid with any
    B. A row that reaches `enough` differences no smaller than the real one stops there, at the l-th
    permutation, with p = enough / l, which is valid too; a test that B was made large for goes on
    to the end. `told` hears of progress.

    Raises:
        InputError: the sides are not of the same images, or there are no permutations.

    >>> same = SumStatistic(np.eye(2, dtype=np.float32), lambda sums: sums / 2, 2)
    >>> permutation_p_values(same, same, 99)[0].tolist()
    [1.0, 1.0]
    """
    if first.images != second.images or first.columns.shape != second.columns.shape:
        raise InputError(f"sides of {first.images} and {second.images} images are not the same")
    if permutations < 1:
        raise InputError(f"{permutations} permutations; at least 1 is needed")
    change, total, real = _moved(first, second)
    least = real * (1 - RELATIVE) - ABSOLUTE
    hits = np.zeros(real.shape, dtype=np.int64)
    ended = np.zeros(real.shape, dtype=np.int64)
    done = 0
    for swapped in swap_indicators(first.columns.shape[0], permutations, seed):
        moved = total[0] + _times(swapped, change)
        # NaN, where a number is not defined, is no less extreme than anything
        extreme = ~(np.abs(second.finish(moved) - first.finish(total[1] - moved)) < least)
        reached = hits + np.cumsum(extreme, axis=0)
        ends = (reached >= enough) & (ended == 0)
        ended = np.where(ends.any(axis=0), done + ends.argmax(axis=0) + 1, ended)
        hits, done = reached[-1], done + len(swapped)
        told(len(swapped))
        if (ended > 0).all():
            break
    p = np.where(ended > 0, np.maximum(enough, 1) / np.maximum(ended, 1), (hits + 1) / (done + 1))
    return np.minimum(p, 1.0), np.where(ended > 0, ended, done)


def _moved(first: SumStatistic, second: SumStatistic) -> tuple[Any, tuple[Floats, Floats], Floats]:
    """What an image brings more to the first side than to the second, the second's sums and both
    sides' together, and the size of the real difference."""
    once = np.ones((1, first.columns.shape[0]), dtype=np.float32)
    columns, theirs = _held(first, second)
    one, other = _times(once, columns), _times(once, theirs)
    real = np.abs(second.finish(other) - first.finish(one))[0]
    return columns - theirs, (other, one + other), real


def _held(*sides: SumStatistic) -> list[Any]:
    """The sides' columns; packed ones without those in which no side has an image."""
    columns = [side.columns for side in sides]
    if not any(side.packed for side in sides):
        return columns
    held = np.unique(np.concatenate([each.indices for each in columns]))
    return [each[:, held] for each in columns]


def bootstrap_differences(
    pairs: Sequence[tuple[SumStatistic, SumStatistic]], resamples: int = RESAMPLES, seed: int = 0
) -> list[Floats]:
    """Second minus first (resamples, rows) of each pair, all over the same resamples of images.

    To draw these takes longer than most pairs do with them, so it is done once for all.

    Raises:
        InputError: the pairs are not all of the same images.
    """
    images = {sums.images for pair in pairs for sums in pair}
    if len(images) != 1:
        raise InputError(f"pairs of {sorted(map(str, images))} images are not of the same")
    found: list[list[Floats]] = [[] for _ in pairs]
    for block in resample_counts(images.pop(), resamples, seed):
        counts = np.asfortranarray(block)
        for (first, second), own in zip(pairs, found, strict=True):
            own.append(second(counts) - first(counts))
    return [np.concatenate(own) for own in found]


def swap_indicators(n: int, rows: int, seed: int = 0) -> Iterator[Weights]:
    """`rows` fair coins for each of n images, as blocks (k, n) of 0 and 1.

    Those of one image lie side by side, as products with sparse columns want them.

    >>> [block.shape for block in swap_indicators(3, 5)]
    [(5, 3)]
    """
    generator = np.random.default_rng(seed)
    most = max(1, BLOCK_SIZE // n)
    for begin in range(0, rows, most):
        size = min(most, rows - begin)
        drawn = np.frombuffer(generator.bytes(n * -(-size // 8)), dtype=np.uint8)
        yield np.unpackbits(drawn.reshape(n, -1), axis=1, count=size).astype(np.float32).T


def _times(weights: Weights, columns: Any) -> Floats:
    """Weighted sums (k, m)."""
    return np.asarray(weights @ columns, dtype=np.float64)
