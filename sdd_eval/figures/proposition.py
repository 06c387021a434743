"""k(r) of the paper's section 3.3: by how much reverse KL's gradient exceeds forward KL's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Ratios ρ of the two gradients' norms that are drawn.
RATIOS = (1.2, 1.5, 2.0, 3.0, 5.0)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
#: How far beyond r₁ the lines go.
BEYOND = 1.15


def k_curves(ratios: Sequence[float] = RATIOS) -> Figure:
    """k(r) from 0 to beyond its zero, a line for each ρ, all in units of r₁ and k(r₁)."""
    import numpy as np
    from matplotlib.figure import Figure

    from sdd_eval.figures.style import COLOURS, MUTED, SINGLE
    from sdd_eval.paper.proposition import k_of, r_1

    drawn = Figure(figsize=(SINGLE, 2.6), layout="constrained")
    axes = drawn.subplots()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(1, color=MUTED, linewidth=0.8, linestyle="--")
    for rho, colour, line in zip(ratios, COLOURS, LINES, strict=False):
        bound = float(r_1(rho))
        r = np.linspace(0, BEYOND * bound, 200)
        values = k_of(r, rho) / float(k_of(bound, rho))
        axes.plot(r / bound, values, color=colour, linestyle=line, label=f"ρ = {rho:g}")
    axes.set(xlabel="r / r₁(ρ)", ylabel="k(r) / k(r₁)", xlim=(0, BEYOND))
    axes.legend(frameon=False, loc="lower left")
    return drawn
