"""A statistic: numbers of one network whose value, interval and paired test share one definition.

An evaluator's `statistics` yields statistics. Constructors: `shares`, `counts`, `means`,
`mean_of_cells` and `unpaired` of this module; `metrics.calibration`, `adaptive_ece`,
`classwise_ece` and `smooth_ece` for calibration errors, `metrics.corruption` for calibration errors
and error ratios under corruption, `metrics.ranking_statistics` for rankings, and
`metrics.selective` for risk–coverage curves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.statistics.bootstrap import Floats, basic_interval, bootstrap_replicates
from sdd_eval.statistics.closed_form.share import Bounds, score_bounds, wilson
from sdd_eval.statistics.closed_form.share import mean_of_cells as mean_of_cells_bounds
from sdd_eval.statistics.intervals import Interval
from sdd_eval.statistics.sums import SumStatistic


class Quantity(NamedTuple):
    """A number without its value.

    Attributes:
        metric, unit: metric and unit of the number.
        at: the axes of the number.
        protocol: the conditions by name, or as one text.
        fitted: values determined for the network rather than conditions, such as its temperature,
            by name.
    """

    metric: str
    unit: str
    at: Mapping[str, Any]
    protocol: Mapping[str, str] | str
    fitted: Mapping[str, str] = MappingProxyType({})


#: The bounds of a number, an interval with its own method, or why there is none.
Ends = Bounds | Interval | str


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """Numbers (rows,) of one network on the same images.

    Attributes:
        quantities: what each number is.
        values: the numbers (rows,).
        make_sums: returns the numbers as a function of sums over images, for the bootstrap and the
            permutation test; None if this is not possible.
        bounds: intervals in closed form; None to use bootstrap intervals from `make_sums`.
        method: a description of the method of the closed-form intervals, or one for each number.
        lowest, highest: the range of the numbers, to which bootstrap intervals are clipped.
        flags: the per-image flags (n, rows) if the numbers are shares or counts of images, which
            are compared with McNemar's test.
        scale: the factor that shares are multiplied by: 1, or n for counts.
        influence: returns each image's influence on the numbers (n, rows), up to a factor; the
            correlation of two networks' numbers is that of their influences. By default, it is
            estimated with the paired bootstrap.
        untested: why networks cannot be compared with a paired test; empty if they can.
    """

    quantities: tuple[Quantity, ...]
    values: Floats
    make_sums: Callable[[], SumStatistic] | None = None
    bounds: Callable[[float], Sequence[Ends]] | None = None
    method: str | Sequence[str] = ""
    lowest: float = 0.0
    highest: float = 1.0
    flags: NDArray[np.bool_] | None = None
    scale: float = 1.0
    influence: Callable[[], Floats] | None = None
    untested: str = ""

    @cached_property
    def sums(self) -> SumStatistic:
        """The numbers as a function of sums over images; ValueError if this is not possible."""
        if self.make_sums is None:
            raise ValueError(f"{self.quantities[0].metric} is not a function of sums over images")
        return self.make_sums()

    @cached_property
    def level_bounds(self) -> Callable[[float], Sequence[Ends]]:
        """A function from a confidence level to the closed-form bounds of each number.

        Bounds are extended to contain the number and are computed only once.
        """

        def extended(level: float) -> list[Ends]:
            ends = self.bounds(level) if self.bounds else [""] * len(self.quantities)
            rows = zip(ends, self.values.tolist(), strict=True)
            return [end.around(value) if isinstance(end, Bounds) else end for end, value in rows]

        return cache(extended)

    @cached_property
    def image_influence(self) -> Floats:
        """Each image's influence on the numbers (n, rows); ValueError if unknown."""
        if self.influence is None:
            raise ValueError(f"the influence of images on {self.quantities[0].metric} is not known")
        return self.influence()

    @property
    def images(self) -> int | tuple[int, ...]:
        """The number of images, or the sizes of several sets of images."""
        return len(self.flags) if self.flags is not None else self.sums.images

    def intervals(self, level: float, resamples: Callable[[float], int]) -> list[Interval]:
        """Return the interval of each number for new images; NaN and the reason if there is none.

        `resamples` returns the number of bootstrap resamples, given how many values each one
        processes.
        """
        if self.bounds is not None or self.make_sums is None:
            ends, rows = self.level_bounds(level), len(self.quantities)
            methods = [self.method] * rows if isinstance(self.method, str) else self.method
            pairs = zip(ends, methods, strict=True)
            return [_interval(bounds, level, method) for bounds, method in pairs]
        columns = self.sums.columns
        count = resamples(float(columns.nnz if hasattr(columns, "nnz") else columns.size))
        replicates = bootstrap_replicates(self.sums, self.sums.images, count)
        limits = {"level": level, "lowest": self.lowest, "highest": self.highest}
        by_row = zip(self.values, replicates.T, strict=True)
        return [basic_interval(value, row, **limits).around(value) for value, row in by_row]


def _interval(bounds: Ends, level: float, method: str) -> Interval:
    """Return the interval of bounds, or the reason why there is none."""
    if isinstance(bounds, Interval):
        return bounds
    if isinstance(bounds, str):
        return Interval(math.nan, math.nan, level, f"none: {bounds}" if bounds else "")
    return Interval(bounds.low, bounds.high, level, method)


#: Methods of closed-form intervals.
SHARE = "Wilson score interval with the ends of Brown, Cai and DasGupta"
LOSS = "score interval with variance proportional to the mean, Poisson bound of few errors below"
CELLS = "Wilson score interval with the design effect of drawing an image with all its renderings"


def shares(quantities: Sequence[Quantity], flags: Sequence[ArrayLike]) -> Statistic:
    """Return the shares of flagged images (n,), one for each quantity.

    >>> accuracy = shares([Quantity("accuracy", "fraction", {}, "")], [[True, False]])
    >>> accuracy.values, [round(end, 3) for end in accuracy.bounds(0.95)[0][1:3]]
    (array([0.5]), [0.026, 0.974])
    """
    table = _table(flags, bool)
    values, n = table.mean(axis=0), len(table)
    return Statistic(
        quantities=tuple(quantities),
        values=values,
        make_sums=lambda: _mean_sums(table),
        bounds=lambda level: [share_bounds(share, n, level) for share in values.tolist()],
        method=SHARE,
        flags=table,
    )


def share_bounds(share: float, n: float, level: float) -> Bounds:
    """Return the bounds of a share of n images.

    >>> [round(end, 3) for end in share_bounds(0.0, 10, 0.95)[1:3]]
    [0.0, 0.278]
    """
    low, high = wilson(share, n, level)
    return Bounds(share, float(low), float(high))


def counts(quantities: Sequence[Quantity], flags: Sequence[ArrayLike]) -> Statistic:
    """Return the numbers of flagged images (n,), one for each quantity, without intervals.

    >>> counts([Quantity("zero_gradients", "images", {}, "")], [[True, False]]).values
    array([1.])
    """
    table = _table(flags, bool)
    n = len(table)
    return Statistic(
        quantities=tuple(quantities),
        values=table.sum(axis=0).astype(np.float64),
        make_sums=lambda: SumStatistic(table.astype(np.float32), lambda sums: sums, n),
        bounds=lambda level: [""] * table.shape[1],
        flags=table,
        scale=float(n),
    )


def means(
    quantities: Sequence[Quantity],
    values: Sequence[ArrayLike],
    *,
    pseudo_losses: Sequence[float] | None = None,
    lowest: float = 0.0,
    highest: float = math.inf,
) -> Statistic:
    """Return the means of per-image values (n,), one for each quantity.

    For losses, which are never negative, `pseudo_losses` are the losses of one error: the mean loss
    if the labels had been the runners-up. Such means get a score interval. Without `pseudo_losses`,
    means get bootstrap intervals within their range, `lowest` to `highest`.

    >>> means([Quantity("nll", "nats", {}, "")], [[1.0, 3.0]]).values
    array([2.])
    """
    table = _table(values)

    def bounds(level: float) -> list[Bounds]:
        rows = zip(table.T, pseudo_losses or (), strict=True)
        intervals = [
            score_bounds(float(x.mean()), x - x.mean(), pseudo, level) for x, pseudo in rows
        ]
        return [Bounds(*row[:2], min(row.high, highest)) for row in intervals]

    return Statistic(
        quantities=tuple(quantities),
        values=table.mean(axis=0),
        make_sums=lambda: _mean_sums(table),
        bounds=None if pseudo_losses is None else bounds,
        method=LOSS,
        lowest=lowest,
        highest=highest,
        influence=lambda: table,
    )


def mean_of_cells(quantities: Sequence[Quantity], correct: Sequence[ArrayLike]) -> Statistic:
    """Return mean accuracies over cells (renderings) of the same images.

    For each number, `correct` is the share of cells in which each image is classified correctly
    (n,).

    >>> accuracy = mean_of_cells([Quantity("mca", "fraction", {}, "")], [np.ones(200)])
    >>> [round(end, 3) for end in accuracy.bounds(0.95)[0][:3]]
    [1.0, 0.981, 1.0]
    """
    table = _table(correct)
    return Statistic(
        quantities=tuple(quantities),
        values=table.mean(axis=0),
        make_sums=lambda: _mean_sums(table),
        bounds=lambda level: [mean_of_cells_bounds(1 - column, level) for column in table.T],
        method=CELLS,
        influence=lambda: table,
    )


def _table(columns: Sequence[ArrayLike], kind: type = float) -> NDArray[Any]:
    """Stack columns of per-image values (n,) into one array (n, columns)."""
    return np.stack([np.asarray(column, dtype=kind) for column in columns], axis=1)


def _mean_sums(table: NDArray[Any]) -> SumStatistic:
    n = len(table)
    return SumStatistic(table.astype(np.float32), lambda sums: sums / n, n)


def unpaired(
    quantity: Quantity,
    value: float,
    reason: str,
    interval: Callable[[float], Ends] | Ends = "",
    method: str = "",
) -> Statistic:
    """Return a number by which networks cannot be compared on the same images, with the reason.

    `interval` holds its bounds, or why there are none, or a function from a confidence level to
    either; `method` describes the method of the interval.
    """
    return Statistic(
        quantities=(quantity,),
        values=np.array([value], dtype=np.float64),
        bounds=lambda level: [interval(level) if callable(interval) else interval],
        method=method,
        untested=reason,
    )
