"""Statistics that are functions of sums over images: paired bootstrap and permutation test.

Accuracies, means, calibration errors and all rank-based metrics are such statistics. Swapping the
values of an image between two networks only moves terms between their sums, so all permutations in
a block take a single matrix product. Both methods keep the pairing: an image is resampled for both
networks, or its two values are swapped.

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

#: A row stops after this many permutations at least as extreme: p is then accurate to 1 part in 7.
EXCEEDANCES = 50
#: Rounding errors of float32 sums: relative and absolute.
RELATIVE, ABSOLUTE = 1e-5, 1e-7


@dataclass(frozen=True)
class SumStatistic:
    """Numbers (rows,) of one network that are a function of sums over its images.

    It is a weighted statistic that maps weights (k, n) of the images to numbers (k, rows).

    Attributes:
        columns: the terms of each image (n, m), a dense array or a scipy sparse matrix.
        finish: maps sums (k, m) to numbers (k, rows).
        images: n, or the sizes of several sets of images that are concatenated.
        packed: whether all-zero columns, such as those of a fine grid, are dropped before `finish`;
            the order of the others is kept.
    """

    columns: Any
    finish: Callable[[Floats], Floats]
    images: int | tuple[int, ...]
    packed: bool = False

    def __call__(self, weights: Weights) -> Floats:
        """Return the numbers (k, rows) of weighted images."""
        return self.finish(_product(weights, self._used_columns))

    @property
    def values(self) -> Floats:
        """The numbers (rows,) of the images themselves."""
        values: Floats = self(np.ones((1, self.columns.shape[0]), dtype=np.float32))[0]
        return values

    @cached_property
    def _used_columns(self) -> Any:
        return _used_columns(self)[0]


def permutation_p_values(
    first: SumStatistic,
    second: SumStatistic,
    permutations: int,
    *,
    max_exceedances: int = EXCEEDANCES,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two-sided p-values of the paired permutation test, and the numbers of permutations.

    Under the null hypothesis an image's two values are exchangeable. Each of B permutations swaps
    them with probability ½ per image; b counts the permuted differences that are at least as large
    as the observed one, including undefined ones. p = (b + 1) / (B + 1) is never 0 and is valid for
    any B. A row stops at its `max_exceedances`-th such permutation, the l-th of all, with the valid
    p-value `max_exceedances` / l.

    `permutations` is the largest B. Returns p-values (rows,) and numbers of permutations (rows,).
    Raise InputError if the statistics are based on different images, or `permutations` is below 1.

    >>> same = SumStatistic(np.eye(2, dtype=np.float32), lambda sums: sums / 2, 2)
    >>> permutation_p_values(same, same, 99)[0].tolist()
    [1.0, 1.0]
    """
    if first.images != second.images or first.columns.shape != second.columns.shape:
        raise InputError(f"the two sides have different images: {first.images} and {second.images}")
    if permutations < 1:
        raise InputError(f"{permutations} permutations; at least 1 is needed")
    change, second_sums, both_sums, observed = _observed(first, second)
    threshold = observed * (1 - RELATIVE) - ABSOLUTE
    exceedances = np.zeros(observed.shape, dtype=np.int64)
    stopped = np.zeros(observed.shape, dtype=np.int64)
    done = 0
    for swapped in swap_indicators(first.columns.shape[0], permutations, seed):
        sums = second_sums + _product(swapped, change)
        permuted = np.abs(second.finish(sums) - first.finish(both_sums - sums))
        # negated, so that an undefined (NaN) difference counts as extreme
        counts = exceedances + np.cumsum(~(permuted < threshold), axis=0)
        stops = (counts >= max_exceedances) & (stopped == 0)
        stopped = np.where(stops.any(axis=0), done + stops.argmax(axis=0) + 1, stopped)
        exceedances, done = counts[-1], done + len(swapped)
        if (stopped > 0).all():
            break
    stopped_p = np.maximum(max_exceedances, 1) / np.maximum(stopped, 1)
    p = np.where(stopped > 0, stopped_p, (exceedances + 1) / (done + 1))
    return np.minimum(p, 1.0), np.where(stopped > 0, stopped, done)


def _observed(first: SumStatistic, second: SumStatistic) -> tuple[Any, Floats, Floats, Floats]:
    """Return first minus second columns, the sums of the second and of both, and |difference|."""
    ones = np.ones((1, first.columns.shape[0]), dtype=np.float32)
    first_columns, second_columns = _used_columns(first, second)
    first_sums, second_sums = _product(ones, first_columns), _product(ones, second_columns)
    observed = np.abs(second.finish(second_sums) - first.finish(first_sums))[0]
    return first_columns - second_columns, second_sums[0], (first_sums + second_sums)[0], observed


def _used_columns(*statistics: SumStatistic) -> list[Any]:
    """Return the statistics' columns; packed ones omit columns that are zero in all statistics."""
    columns = [statistic.columns for statistic in statistics]
    if not any(statistic.packed for statistic in statistics):
        return columns
    used = np.unique(np.concatenate([matrix.indices for matrix in columns]))
    return [matrix[:, used] for matrix in columns]


def paired_replicates(
    pairs: Sequence[tuple[SumStatistic, SumStatistic]], resamples: int = RESAMPLES, seed: int = 0
) -> list[tuple[Floats, Floats]]:
    """Return bootstrap replicates (resamples, rows) of both statistics of each pair.

    All pairs share the same resamples, as drawing these takes longer than computing most
    statistics. Raise InputError if the pairs are not all based on the same images.

    >>> first, second = (SumStatistic(np.full((3, 1), x), lambda s: s / 3, 3) for x in (1.0, 3.0))
    >>> [replicates.tolist() for replicates in paired_replicates([(first, second)], 2)[0]]
    [[[1.0], [1.0]], [[3.0], [3.0]]]
    """
    images = {statistic.images for pair in pairs for statistic in pair}
    if len(images) != 1:
        raise InputError(f"the pairs have different images: {sorted(map(str, images))}")
    blocks: list[list[list[Floats]]] = [[[], []] for _ in pairs]
    for block in resample_counts(images.pop(), resamples, seed):
        counts = np.asfortranarray(block)
        for pair, replicates in zip(pairs, blocks, strict=True):
            for statistic, rows in zip(pair, replicates, strict=True):
                rows.append(statistic(counts))
    return [(np.concatenate(first), np.concatenate(second)) for first, second in blocks]


def swap_indicators(n: int, permutations: int, seed: int = 0) -> Iterator[Weights]:
    """Yield blocks (k, n) of 0 and 1 with equal probability: which images a permutation swaps.

    The indicators of an image are contiguous in memory, as required by products with sparse
    columns.

    >>> [block.shape for block in swap_indicators(3, 5)]
    [(5, 3)]
    """
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK_SIZE // n)
    for start in range(0, permutations, rows):
        size = min(rows, permutations - start)
        drawn = np.frombuffer(generator.bytes(n * -(-size // 8)), dtype=np.uint8)
        yield np.unpackbits(drawn.reshape(n, -1), axis=1, count=size).astype(np.float32).T


def _product(weights: Weights, columns: Any) -> Floats:
    """Return weighted sums (k, m) in float64."""
    return np.asarray(weights @ columns, dtype=np.float64)
