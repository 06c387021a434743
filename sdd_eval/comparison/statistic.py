"""Statistics of a run whose rows are the run's measurements, recomputed from its per-image arrays.

Each built-in evaluator has a function from its stored arrays to such statistics (`run_statistics`).
A measurement without one, as of a third party's evaluator, is compared without a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.metrics.calibration import bin_index
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

Arrays = Mapping[str, NDArray[Any]]
#: A metric, and the axes that identify one of its measurements, as text.
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class KeyedStatistic:
    """A statistic of one network with a key for each row.

    Attributes:
        keys: the measurements that the rows of `sums` are.
        sums: the statistic.
        flags: the per-image flags (n, keys) if the rows are shares or counts of images.
    """

    keys: tuple[Key, ...]
    sums: SumStatistic
    flags: NDArray[np.bool_] | None = None


#: A function from a run's arrays and settings to its statistics.
StatisticsOf = Callable[[Arrays, Mapping[str, Any]], Iterator[KeyedStatistic]]


def key(metric: str, **at: Any) -> Key:
    """Return the key of a measurement; numbers among the axes are formatted with `g`.

    >>> key("fgsm_accuracy", variant="pixel", epsilon=0.2)
    ('fgsm_accuracy', (('epsilon', '0.2'), ('variant', 'pixel')))
    """
    return metric, tuple(sorted((axis, _text(value)) for axis, value in at.items()))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def shares(keys: Sequence[Key], flags: Sequence[NDArray[Any]]) -> KeyedStatistic:
    """Return the shares of images that are flagged (n,), one per key."""
    table = np.stack(flags, axis=1).astype(bool)
    return KeyedStatistic(tuple(keys), _means(table), table)


def counts(keys: Sequence[Key], flags: Sequence[NDArray[Any]]) -> KeyedStatistic:
    """Return the numbers of images that are flagged (n,), one per key."""
    table = np.stack(flags, axis=1).astype(bool)
    sums = SumStatistic(table.astype(np.float32), lambda sums: sums, len(table))
    return KeyedStatistic(tuple(keys), sums, table)


def means(keys: Sequence[Key], values: Sequence[ArrayLike]) -> KeyedStatistic:
    """Return the means of per-image values (n,), one per key."""
    table = np.stack([np.asarray(column) for column in values], axis=1)
    return KeyedStatistic(tuple(keys), _means(table))


def _means(table: NDArray[Any]) -> SumStatistic:
    n = len(table)
    return SumStatistic(table.astype(np.float32), lambda sums: sums / n, n)


def calibration_errors(confidence: NDArray[Any], correct: NDArray[Any], bins: int) -> SumStatistic:
    """Return the ECE of each column of confidences and correct flags (n, columns)."""
    confidences = np.asarray(confidence, dtype=np.float64)
    n, columns = confidences.shape
    index = bin_index(confidences.ravel(), bins).reshape(confidences.shape)
    residuals = (np.asarray(correct, dtype=np.float64) - confidences).astype(np.float32)
    in_bins = np.zeros((n, columns, bins), dtype=np.float32)
    np.put_along_axis(in_bins, index[:, :, None], residuals[:, :, None], axis=2)

    def finish(sums: Floats) -> Floats:
        errors: Floats = np.abs(sums.reshape(len(sums), columns, bins)).sum(axis=2) / n
        return errors

    return SumStatistic(in_bins.reshape(n, -1), finish, n)
