"""Confidence intervals in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

#: Default nominal coverage of intervals.
LEVEL = 0.95


def normal_quantile(level: float) -> float:
    """Return the normal quantile for a two-sided interval.

    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf(0.5 + level / 2)


def student_quantile(level: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution for a two-sided interval.

    >>> round(student_quantile(0.95, 2), 10)
    4.3026527297
    """
    from scipy.special import stdtr, stdtrit  # imported here because scipy takes a second to load

    probability = 0.5 + level / 2
    quantile = stdtrit(freedom, probability)
    # One secant step: before SciPy 1.12, `stdtrit` is accurate to eight digits only.
    reached, step = stdtr(freedom, quantile), 1e-4 * quantile
    slope = (stdtr(freedom, quantile + step) - reached) / step
    return float(quantile - (reached - probability) / slope)


@dataclass(frozen=True)
class Interval:
    """A confidence interval, its nominal coverage, and a description of its method."""

    low: float
    high: float
    level: float
    method: str

    def around(self, value: float) -> Interval:
        """Extend the interval to its estimate, which a reflected bias may exclude."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))
