"""Numerical check of the paper's section 3.3: the gradients of forward and reverse KL.

p and q are the posteriors of one image under two dropout masks. Of KL(p‖q) + KL(q‖p), *forward*
passes the gradient of each second argument, *reverse* that of each first one (Lemma 1):

    forward:  Σ_i (1 − p_i/q_i) ∇q_i + Σ_i (1 − q_i/p_i) ∇p_i
    reverse:  Σ_i log(p_i/q_i) ∇p_i + Σ_i log(q_i/p_i) ∇q_i

The "1 −" is arbitrary: Σ_i ∇q_i = 0, so any constant may replace it. With it, class by class,

    D_i = |log(p_i/q_i)| (‖∇p_i‖ + ‖∇q_i‖) − |1 − p_i/q_i| ‖∇q_i‖ − |1 − q_i/p_i| ‖∇p_i‖.

If the larger of p_i and q_i has the larger gradient (Assumption 1), ρ ≥ 1 times the other's, and
r = |log(p_i/q_i)|, then D_i is k(r) times the smaller norm. Proposition 1: k > 0 on (0, r₁].

Source: Lee, Park, Seo, Kang (2022), "Self-Knowledge Distillation via Dropout", section 3.3. D_i, k
and r₁ are given in the only form in which the paper's equations (24) and (25), its Lemma 2 and its
figure agree; `l_of` and `l_slope` state the errors in them as printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.figures.style import COLOURS, MUTED, SINGLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def k_of(r: ArrayLike, rho: ArrayLike) -> Floats:
    """Return k(r) = (ρ + 1) r − (e^r − 1) − ρ (1 − e^−r), the excess of reverse over forward KL.

    Close to 0 it is (ρ − 1) r²/2, which the plain formula loses to cancellation; there the series
    Σ_{n ≥ 2} (−1 − ρ (−1)^{n+1}) rⁿ/n! is summed.

    >>> float(k_of(0.0, 3.0)), round(float(k_of(1.0, 3.0)), 6)
    (0.0, 0.385356)
    """
    distance, ratio = np.broadcast_arrays(
        np.asarray(r, dtype=np.float64), np.asarray(rho, dtype=np.float64)
    )
    plain = (ratio + 1) * distance - np.expm1(distance) + ratio * np.expm1(-distance)
    return np.where(distance < 0.05, _series(distance, ratio), plain)


def _series(r: Floats, rho: Floats) -> Floats:
    """Return (ρ − 1) r²/2! − (ρ + 1) r³/3! + (ρ − 1) r⁴/4! − …, which is k for small r."""
    total, term = np.zeros_like(r), r.copy()
    for order in range(2, 14):
        term = term * r / order
        total = total + term * (rho - 1 if order % 2 == 0 else -(rho + 1))
    return total


def r_1(rho: ArrayLike) -> Floats:
    """Return r₁ = log ρ + log log(ρ + e − 1), the bound of Assumption 2; 0 at ρ = 1.

    >>> float(r_1(1.0)), round(float(r_1(2.0)), 4)
    (0.0, 0.9657)
    """
    excess = np.asarray(rho, dtype=np.float64) - 1
    # log(ρ + e − 1) = 1 + log1p((ρ − 1)/e), exactly 1 at ρ = 1
    return np.asarray(np.log1p(excess) + np.log1p(np.log1p(excess / np.e)))


def l_of(rho: ArrayLike) -> Floats:
    """Return l(ρ) = k(r₁(ρ)) = (ρ + 1) log(ρL) − ρL − ρ + 1/L + 1, L = log(ρ + e − 1), eq. (24).

    Lemma 2 correctly states l ≥ 0 for ρ ≥ 1, but derives it from l(1) = 0 and a slope of 1 there.
    The slope is 0 as well: l rises from 0 with its second derivative.
    """
    return k_of(r_1(rho), rho)


def l_slope(rho: ArrayLike) -> Floats:
    """Return l′(ρ), which differs from the paper's equation (25).

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
class PropositionCheck:
    """Proposition 1 on a grid of ratios ρ and distances r."""

    rho: Floats
    """(ratios,)"""
    fraction: Floats
    """(distances,): r / r₁, the same for every ρ."""
    k: Floats
    """(ratios, distances): k(r)/r² at r = fraction · r₁(ρ), which does not underflow near 0."""
    slope_error: float
    """The largest relative difference of l′ from central differences of l."""

    @property
    def holds(self) -> bool:
        """Whether k > 0 on the whole grid."""
        return bool((self.k > 0).all())


def check_proposition(ratios: int = 400, distances: int = 200) -> PropositionCheck:
    """Evaluate k for ρ from 1 + 1e-8 to 1e9 and r from 1e-6 r₁ to r₁, both spaced evenly in log."""
    rho = 1 + np.geomspace(1e-8, 1e9 - 1, ratios)
    fraction = np.geomspace(1e-6, 1, distances)
    r = fraction * r_1(rho)[:, None]
    tested = np.geomspace(1.5, 1e4, 200)  # l′ is compared with (l(ρ + h) − l(ρ − h)) / 2h
    step, slope = 1e-5 * tested, l_slope(tested)
    measured = (l_of(tested + step) - l_of(tested - step)) / (2 * step)
    error = float(np.max(np.abs(measured - slope) / np.abs(slope)))
    return PropositionCheck(rho, fraction, k_of(r, rho[:, None]) / r**2, error)


def normalised_k(rho: float, end: float = 1.15) -> tuple[Floats, Floats]:
    """Return 201 points (r/r₁, k(r)/k(r₁)) for one ρ, with r/r₁ from 0 to `end`.

    >>> fractions, values = normalised_k(2.0, end=1.0)
    >>> float(fractions[-1]), float(values[-1])
    (1.0, 1.0)
    """
    bound = r_1(rho)
    fraction = np.linspace(0, end, 201)
    return fraction, k_of(fraction * bound, rho) / k_of(bound, rho)


def draw_k_curves(points: Mapping[float, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw a line for each ρ through its points (r/r₁, k(r)/k(r₁)), with r₁ marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SINGLE, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(1, color=MUTED, linewidth=0.8, linestyle="--")
    lines = zip(points.items(), COLOURS, LINE_STYLES, strict=False)
    for (rho, (fraction, k)), colour, style in lines:
        axes.plot(fraction, k, color=colour, linestyle=style, label=f"ρ = {rho:g}")
    axes.set(xlabel="r / r₁(ρ)", ylabel="k(r) / k(r₁)")
    axes.margins(x=0)
    axes.legend(frameon=False, loc="lower left")
    return figure
