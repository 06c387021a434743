"""Intervals of shares, means and ratios of means, and of paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.hypothesis_tests import mcnemar_p_values
from sdd_eval.statistics.intervals import LEVEL, normal_quantile, student_quantile

#: Up to this many hits (or misses), the end of Wilson's interval is the exact Poisson bound.
FEW = 3.0
#: Number of bisection steps: an interval of width 2 shrinks below 1e-17.
BISECTIONS = 60


class Bounds(NamedTuple):
    """An estimate and its interval; `centre` is a second, debiased estimate, if any."""

    value: float
    low: float
    high: float
    centre: float | None = None

    def around(self, value: float) -> Bounds:
        """Return the bounds for another estimate of the same number, extended to contain it."""
        return Bounds(value, min(self.low, value), max(self.high, value), self.centre)


def bisect(inside: float, outside: float, holds: Callable[[float], bool], steps: int) -> float:
    """Return a number at which a condition holds as at `inside`, next to one where it does not.

    >>> round(bisect(0.0, 1.0, lambda x: x * x <= 0.5, 30), 6)
    0.707107
    """
    for _ in range(steps):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def wilson(
    share: ArrayLike, n: ArrayLike, level: float = LEVEL, z: float | None = None
) -> tuple[Floats, Floats]:
    """Return the ends of Wilson's score interval with modified ends, elementwise.

    Wilson (1927) with the ends of Brown, Cai and DasGupta (2001), section 4.1.1: with at most three
    hits, the lower end is at most the Poisson bound, and likewise for misses at the upper end. The
    plain Wilson interval covers only .838 near n · share = .176; with these ends, the lowest
    coverage is .926.

    `share` is the observed share, 0 to 1, of `n` images, which may be an effective, non-integer
    number; `z` is the normal (or Student) quantile, if not that of `level`.

    >>> low, high = wilson(0.001, 1000)
    >>> round(float(low), 6), round(float(high), 6)
    (5.1e-05, 0.005643)
    """
    p, n = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = normal_quantile(level) if z is None else z
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(np.maximum(p * (1 - p) / n, 0) + z * z / (4 * n * n)) / (1 + z * z / n)
    low = np.minimum(np.where(p <= 0, 0, centre - half), _poisson_end(p * n, n, level))
    high = np.maximum(np.where(p >= 1, 1, centre + half), 1 - _poisson_end((1 - p) * n, n, level))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def _poisson_end(hits: Floats, n: Floats, level: float) -> Floats:
    """Return the Poisson bound of few hits, and infinity for none or many."""
    from scipy.special import gammaincinv  # imported here because scipy takes a second to load

    hits, n = np.broadcast_arrays(hits, n)
    few = (hits > 1e-9) & (hits <= FEW)
    bound = np.full(hits.shape, np.inf)
    bound[few] = gammaincinv(hits[few], 1 - level) / n[few]
    return bound


def difference(first: Bounds, second: Bounds, correlation: float = 0.0) -> Bounds:
    """Return the interval of `second` − `first` by square-and-add (MOVER).

    Newcombe (1998), method 10; Zou and Donner (2008). With debiased estimates, the result is the
    hull of the intervals around the estimates and around each debiased estimate.

    `correlation` is that of the two estimates.
    """
    centres = [(first.value, second.value)]
    if first.centre is not None and second.centre is not None:
        centres += [(first.centre, second.value), (first.value, second.centre)]
    ends = [_square_and_add(first.around(x), second.around(y), correlation) for x, y in centres]
    low, high = min(end.low for end in ends), max(end.high for end in ends)
    return Bounds(second.value - first.value, low, high)


def _square_and_add(first: Bounds, second: Bounds, correlation: float) -> Bounds:
    value = second.value - first.value
    down = _hypotenuse(second.value - second.low, first.high - first.value, correlation)
    up = _hypotenuse(second.high - second.value, first.value - first.low, correlation)
    return Bounds(value, value - down, value + up)


def _hypotenuse(a: float, b: float, correlation: float) -> float:
    return math.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0))


def mean_of_cells(wrong: Floats, level: float = LEVEL) -> Bounds:
    """Return the mean accuracy over cells of the same images, with its interval.

    This is Wilson's interval with the number of images divided by the design effect, because
    renderings of the same image are not independent. One pseudo image that is wrong in every cell
    and one that is correct in every cell are added to the variance.

    `wrong` is the share of cells in which each image is misclassified (n,).

    >>> [round(end, 3) for end in mean_of_cells(np.zeros(200))[:3]]
    [1.0, 0.981, 1.0]
    """
    e = np.asarray(wrong, dtype=np.float64)
    n, mean = len(e), float(e.mean())
    smoothed = (n * mean + 1) / (n + 2)
    variance = ((e * e).sum() + 1) / (n + 2) - smoothed * smoothed
    low, high = wilson(mean, n * smoothed * (1 - smoothed) / variance, level)
    return Bounds(1 - mean, 1 - float(high), 1 - float(low))


def paired_difference(lost: int, gained: int, n: int, level: float = LEVEL) -> Bounds:
    """Return the difference of two accuracies on the same images, with its interval.

    Tango's score interval (1998), recommended by Fagerland, Lydersen and Laake (2014). It includes
    0 whenever McNemar's mid-p exceeds 1 − level, so the interval and test agree.

    Of n images, `lost` are classified correctly only by the first network and `gained` only by the
    second.

    >>> [round(end, 4) for end in paired_difference(0, 0, 200)[:3]]
    [0.0, -0.0188, 0.0188]
    """
    value, z = (gained - lost) / n, normal_quantile(level)
    low = bisect(value, -1.0, lambda t: _tango_score(lost, gained, n, t) <= z, BISECTIONS)
    high = bisect(value, 1.0, lambda t: _tango_score(lost, gained, n, t) >= -z, BISECTIONS)
    if mcnemar_p_values(lost, gained)[1] > 1 - level:
        low, high = min(low, 0.0), max(high, 0.0)
    return Bounds(value, low, high)


def _tango_score(lost: int, gained: int, n: int, t: float) -> float:
    """Return Tango's score statistic for a difference of t."""
    distance = gained - lost - n * t
    b = -lost - gained + (2 * n - (gained - lost)) * t
    q = (math.sqrt(max(b * b + 8 * n * lost * t * (1 - t), 0.0)) - b) / (4 * n)
    variance = n * (2 * q + t * (1 - t))
    if variance > 0:
        return distance / math.sqrt(variance)
    return math.copysign(math.inf, distance) if distance else 0.0


def score_bounds(value: float, influence: Floats, pseudo: float, level: float = LEVEL) -> Bounds:
    """Return a number that is 0 without errors, such as a mean loss, and its score interval.

    The variance is assumed to be proportional to the number (quasi-Poisson; McCullagh and Nelder
    1989), which holds if few images contribute most of it. To second order, the result equals the
    delta method interval on the logarithm, but it is also defined at 0. One pseudo error enters the
    dispersion. If at most three images (effectively: the squared sum of the contributions over the
    sum of their squares) make up the number, its lower end is at most the Poisson bound, as in
    `wilson`: the loss of a single wrong image may be far above that of the pseudo error.

    `influence` is the influence of each image on the number (n,), with mean 0 (for a mean, its
    deviation from it); `pseudo` is the influence of an error.

    >>> [round(end, 3) for end in score_bounds(0.1, np.zeros(100), pseudo=2.0)[:3]]
    [0.1, 0.07, 0.143]
    """
    n = len(influence)
    spread = float((influence**2).sum()) + pseudo**2
    k = normal_quantile(level) ** 2 * spread / (n * value + pseudo) / n
    half = math.sqrt(value * k + k * k / 4)
    squares = float(((influence + value) ** 2).sum())
    errors = np.array((n * value) ** 2 / squares if squares else 0.0)
    fewest = value * float(_poisson_end(errors, errors, level)) if value > 0 else 0.0
    return Bounds(value, max(0.0, min(value + k / 2 - half, fewest)), value + k / 2 + half)


def ratio_bounds(
    value: float,
    influence: Floats,
    denominator: Floats,
    pseudo: float,
    level: float = LEVEL,
) -> Bounds | None:
    """Return a ratio of means with Fieller's interval, or None if that is unbounded.

    Fieller (1954), "Some problems in interval estimation": it contains the ratios ρ for which
    numerator − ρ · denominator does not differ significantly from 0. It is unbounded if the
    denominator does not differ significantly from 0.

    `influence` is the influence of each image on the value (n,), with mean 0; `denominator` is that
    on the denominator, relative to it (for a mean of ratios, the mean of these); `pseudo` is the
    influence of an error.

    >>> x, y = np.array([1.0, -1.0] * 50), np.array([1.0, 1.0, -1.0, -1.0] * 25)
    >>> [round(end, 2) for end in ratio_bounds(1.0, x, y, pseudo=1.0)[:3]]
    [1.0, 0.8, 1.2]
    >>> ratio_bounds(1.0, x, 10 * y, pseudo=1.0) is None
    True
    """
    n, square = len(influence), normal_quantile(level) ** 2
    spread = (float((influence**2).sum()) + pseudo**2) / n**2
    linear = -square * float((influence * denominator).sum()) / n**2
    leading = 1 - square * float((denominator**2).sum()) / n**2
    if leading <= 0:
        return None
    root = math.sqrt(linear**2 + leading * square * spread)
    return Bounds(value, value + (linear - root) / leading, value + (linear + root) / leading)


def bounded_mean(values: Floats, lowest: float, highest: float, level: float = LEVEL) -> Bounds:
    """Return the mean of values in a known range, with Student's interval within that range.

    One pseudo value at each end of the range is included in the variance, so that equal values have
    an interval of positive width.

    >>> [round(end, 4) for end in bounded_mean(np.full(100, 0.95), 0.9, 1.0)[:3]]
    [0.95, 0.9486, 0.9514]
    """
    x = np.asarray(values, dtype=np.float64)
    mean, n = float(x.mean()), len(x)
    pseudo = (mean - lowest) ** 2 + (highest - mean) ** 2
    variance = (float(((x - mean) ** 2).sum()) + pseudo) / (n + 1)
    half = student_quantile(level, n - 1) * math.sqrt(variance / n) if n > 1 else math.inf
    return Bounds(mean, max(lowest, mean - half), min(highest, mean + half))
