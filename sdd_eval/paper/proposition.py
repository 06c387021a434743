"""Section 3.3 of the paper in numbers: why reverse KL moves the weights more than forward KL.

p and q are the posteriors of one image under two dropout masks. Of KL(p‖q) + KL(q‖p), *forward*
lets through the gradient of each second argument, *reverse* that of each first one (Lemma 1):

    forward:  Σ_i (1 − p_i/q_i) ∇q_i + Σ_i (1 − q_i/p_i) ∇p_i
    reverse:  Σ_i log(p_i/q_i) ∇p_i + Σ_i log(q_i/p_i) ∇q_i

The "1 −" is arbitrary: Σ_i ∇q_i = 0, so any constant stands there as well. With it, class by class,

    D_i = |log(p_i/q_i)| (‖∇p_i‖ + ‖∇q_i‖) − |1 − p_i/q_i| ‖∇q_i‖ − |1 − q_i/p_i| ‖∇p_i‖.

Where the larger of p_i and q_i has the larger gradient (Assumption 1), ρ ≥ 1 times the other's, and
r = |log(p_i/q_i)|, D_i is k(r) times the smaller norm. Proposition 1 says that k > 0 on (0, r₁].

Source: Lee, Park, Seo, Kang (2022), "Self-knowledge distillation via dropout", section 3.3. D_i, k
and r₁ are here in the one form in which the paper's equations (24) and (25), its Lemma 2 and its
figure fit together; what is wrong in them as printed stands at `l_of` and `l_slope`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def k_of(r: ArrayLike, rho: ArrayLike) -> Floats:
    """k(r) = (ρ + 1) r − (e^r − 1) − ρ (1 − e^−r): how far reverse exceeds forward, in a class.

    Near 0 it is (ρ − 1) r²/2, which the terms as they stand would lose to cancellation; there the
    sum of its series, Σ_{n ≥ 2} (−1 − ρ (−1)^{n+1}) rⁿ/n!, is taken.

    >>> float(k_of(0.0, 3.0)), round(float(k_of(1.0, 3.0)), 6)
    (0.0, 0.385357)
    """
    distance, ratio = np.broadcast_arrays(
        np.asarray(r, dtype=np.float64), np.asarray(rho, dtype=np.float64)
    )
    plain = (ratio + 1) * distance - np.expm1(distance) + ratio * np.expm1(-distance)
    return np.where(distance < 0.05, _series(distance, ratio), plain)


def _series(r: Floats, rho: Floats) -> Floats:
    """k by its series: (ρ − 1) r²/2! − (ρ + 1) r³/3! + (ρ − 1) r⁴/4! − …, for small r."""
    total, term = np.zeros_like(r), r.copy()
    for order in range(2, 14):
        term = term * r / order
        total = total + term * (rho - 1 if order % 2 == 0 else -(rho + 1))
    return total


def r_1(rho: ArrayLike) -> Floats:
    """r₁ = log ρ + log log(ρ + e − 1), the bound of Assumption 2; 0 at ρ = 1.

    >>> float(r_1(1.0)), round(float(r_1(2.0)), 4)
    (0.0, 0.9652)
    """
    excess = np.asarray(rho, dtype=np.float64) - 1
    # log(ρ + e − 1) = 1 + log1p((ρ − 1)/e), exactly 1 at ρ = 1
    return np.asarray(np.log1p(excess) + np.log1p(np.log1p(excess / np.e)))


def l_of(rho: ArrayLike) -> Floats:
    """l(ρ) = k(r₁(ρ)) = (ρ + 1) log(ρL) − ρL − ρ + 1/L + 1 with L = log(ρ + e − 1), equation (24).

    Lemma 2 says that it is not negative for ρ ≥ 1, and is right; it starts from l(1) = 0 and a
    slope of 1 there, but the slope is 0 as well: l rises from 0 with its second derivative.
    """
    return k_of(r_1(rho), rho)


def k_in_units_of_r_1(rho: float, beyond: float = 1.15) -> tuple[Floats, Floats]:
    """Points (r/r₁, k(r)/k(r₁)) of one ρ for a drawing, from 0 to `beyond`.

    >>> shares, values = k_in_units_of_r_1(2.0, beyond=1.0)
    >>> float(shares[-1]), float(values[-1])
    (1.0, 1.0)
    """
    bound = r_1(rho)
    share = np.linspace(0, beyond, 201)
    return share, k_of(share * bound, rho) / k_of(bound, rho)


def l_slope(rho: ArrayLike) -> Floats:
    """l′(ρ), which the paper's equation (25) is not.

    l′ = log ρ + log L + (ρ + 1)(1/ρ + 1/(sL)) − L − 1 − ρ/s − 1/(sL²), s = ρ + e − 1, L = log s.

    >>> float(abs(l_slope(1.0)) < 1e-15)
    1.0
    """
    ratio = np.asarray(rho, dtype=np.float64)
    s = ratio + np.e - 1
    log = 1 + np.log1p((ratio - 1) / np.e)
    rising = np.log(ratio) + np.log(log) + (ratio + 1) * (1 / ratio + 1 / (s * log))
    return np.asarray(rising - log - 1 - ratio / s - 1 / (s * log**2))


@dataclass(frozen=True)
class Checked:
    """Proposition 1 on a grid: (ratios, distances) of ρ and r, and where k is least."""

    rho: Floats
    share: Floats
    """Of r in r₁, the same for every ρ."""
    k: Floats
    """k(r) over ρ (rows) and r = share · r₁(ρ) (columns), divided by r²: no underflow near 0."""
    slope_error: float
    """The largest relative difference of l′ from central differences of l."""

    @property
    def holds(self) -> bool:
        """Whether k > 0 everywhere on the grid."""
        return bool((self.k > 0).all())


def check_proposition(ratios: int = 400, distances: int = 200) -> Checked:
    """k on ρ from 1 + 1e-8 to 1e9 and r from 1e-6 · r₁ to r₁, both evenly in the logarithm."""
    rho = 1 + np.geomspace(1e-8, 1e9 - 1, ratios)
    share = np.geomspace(1e-6, 1, distances)
    r = share * r_1(rho)[:, None]
    return Checked(rho, share, k_of(r, rho[:, None]) / r**2, _slope_error())


def _slope_error() -> float:
    """l′ against (l(ρ + h) − l(ρ − h)) / 2h, from ρ = 1.5 to 1e4."""
    rho = np.geomspace(1.5, 1e4, 200)
    step = 1e-5 * rho
    measured = (l_of(rho + step) - l_of(rho - step)) / (2 * step)
    return float(np.max(np.abs(measured - l_slope(rho)) / np.abs(l_slope(rho))))
