"""Seeded subsets, balanced over the classes where there are classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError


def subset(
    total: int, limit: int | None, *, labels: NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Indices of `limit` of `total` images, ascending; all of them where `limit` is None.

    With labels, the counts of any two classes differ by at most one as far as each class has
    images. A subset is contained in every larger one of the same seed.

    Raises:
        InputError: `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit is {limit}, not a positive number of images")
    if limit is None or limit >= total:
        return np.arange(total)
    random = np.random.default_rng((seed, total))
    order = random.permutation(total)
    if labels is None:
        return np.sort(order[:limit])
    rank = rank_within_class(labels[order])
    class_order = random.permutation(int(labels.max()) + 1)[labels[order]]
    return np.sort(order[np.lexsort((class_order, rank))[:limit]])


def rank_within_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each label (n,) how many equal labels precede it."""
    by_class = np.argsort(labels, kind="stable")
    grouped = labels[by_class]
    starts = np.searchsorted(grouped, grouped)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - starts
    return rank
