"""The numbers of a run that images add up to, made anew from what it kept image by image.

Each built-in evaluator has a function from its arrays to parts: numbers of one kind, computed
together. A number that no part has, of a stranger's evaluator too, has no test (`untested_lines`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.metrics.calibration import bin_index
from sdd_eval.metrics.classification import confidence_and_correct, nll_per_image, top_k_correct
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic

Arrays = Mapping[str, NDArray[Any]]
#: A metric and the axes that tell one of its numbers from the others, as text.
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class KeyedStatistic:
    """Numbers of one network, a key each; `flags` are (n, keys) 0 or 1 where these are shares."""

    keys: tuple[Key, ...]
    sums: SumStatistic
    flags: NDArray[np.bool_] | None = None


def key(metric: str, **at: Any) -> Key:
    """The key of a number; numbers among the axes are told as short as they can be.

    >>> key("fgsm_accuracy", variant="pixel", epsilon=0.2)
    ('fgsm_accuracy', (('epsilon', '0.2'), ('variant', 'pixel')))
    """
    return metric, tuple(sorted((name, _text(value)) for name, value in at.items()))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def shares(keys: list[Key], flags: list[NDArray[Any]]) -> KeyedStatistic:
    """Shares of images that are flagged (n,), a key each."""
    table = np.stack(flags, axis=1).astype(bool)
    return KeyedStatistic(tuple(keys), _means(table), table)


def counts(keys: list[Key], flags: list[NDArray[Any]]) -> KeyedStatistic:
    """How many images are flagged (n,), a key each."""
    table = np.stack(flags, axis=1).astype(bool)
    sums = SumStatistic(table.astype(np.float32), lambda sums: sums, len(table))
    return KeyedStatistic(tuple(keys), sums, table)


def means(keys: list[Key], values: Sequence[ArrayLike]) -> KeyedStatistic:
    """Means of per-image values (n,), a key each."""
    return KeyedStatistic(
        tuple(keys), _means(np.stack([np.asarray(each) for each in values], axis=1))
    )


def _means(table: NDArray[Any]) -> SumStatistic:
    n = len(table)
    return SumStatistic(table.astype(np.float32), lambda sums: sums / n, n)


def calibration_errors(confidence: NDArray[Any], correct: NDArray[Any], bins: int) -> SumStatistic:
    """The ECE of each column (n, columns): bins hold sums of correct − confidence."""
    sure = np.asarray(confidence, dtype=np.float64)
    n, columns = sure.shape
    index = bin_index(sure.ravel(), bins).reshape(sure.shape)
    apart = np.zeros((n, columns, bins), dtype=np.float32)
    residuals = (np.asarray(correct, dtype=np.float64) - sure).astype(np.float32)
    np.put_along_axis(apart, index[:, :, None], residuals[:, :, None], axis=2)

    def finish(sums: Floats) -> Floats:
        found: Floats = np.abs(sums.reshape(len(sums), columns, bins)).sum(axis=2) / n
        return found

    return SumStatistic(apart.reshape(n, -1), finish, n)


def of_accuracy(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Accuracy, top-5 accuracy and NLL."""
    logits, labels = arrays["logits"], arrays["labels"]
    _, correct = confidence_and_correct(logits, labels)
    keys, flags = [key("accuracy")], [correct]
    if logits.shape[1] > 5:
        keys.append(key("accuracy_top5"))
        flags.append(top_k_correct(logits, labels, 5))
    yield shares(keys, flags)
    yield means([key("nll")], [nll_per_image(logits, labels)])


Maker = Callable[[Arrays, Mapping[str, Any]], Iterator[KeyedStatistic]]
