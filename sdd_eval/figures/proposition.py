"""k(r) of the paper's section 3.3: by how much reverse KL's gradient exceeds forward KL's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def k_curves(points: Mapping[float, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """A line for each ρ from its points (r/r₁, k(r)/k(r₁)); r₁ is marked."""
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import COLOURS, MUTED, SINGLE

    drawn = Figure(figsize=(SINGLE, 2.6), layout="constrained")
    axes = drawn.subplots()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(1, color=MUTED, linewidth=0.8, linestyle="--")
    for (rho, (share, k)), colour, line in zip(points.items(), COLOURS, LINES, strict=False):
        axes.plot(share, k, color=colour, linestyle=line, label=f"ρ = {rho:g}")
    axes.set(xlabel="r / r₁(ρ)", ylabel="k(r) / k(r₁)")
    axes.margins(x=0)
    axes.legend(frameon=False, loc="lower left")
    return drawn
