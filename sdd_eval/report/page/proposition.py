"""Write the page, figure and grid of `sdd-eval proposition`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sdd_eval import figures, store
from sdd_eval.figures.style import house_style
from sdd_eval.paper.proposition import (
    PropositionCheck,
    draw_k_curves,
    l_of,
    l_slope,
    normalised_k,
    r_1,
)
from sdd_eval.report.page.page import template

#: Ratios ρ of the two gradient norms that the figure shows.
RATIOS = (1.2, 1.5, 2.0, 3.0, 5.0)


def write_proposition(folder: Path, checked: PropositionCheck, lemma: Mapping[str, float]) -> Path:
    """Write `index.html`, `k.pdf`, `k.svg` and `grid.csv` into a folder; return the page's path.

    `checked` is the proposition on a grid of ρ and r, `lemma` the relative error of Lemma 1 by
    direction. Raise InputError if the folder cannot be written.
    """
    with house_style():
        figure = draw_k_curves({rho: normalised_k(rho) for rho in RATIOS})
        files = figures.figure_files(figure, ("pdf", "svg"))
    for kind, content in files.items():
        store.write_bytes(folder / f"k.{kind}", content)
    store.write_text(folder / "grid.csv", _grid_csv(checked))
    svg = files["svg"].decode()
    html = template("proposition.html.jinja").render(
        checked=checked,
        lemma=lemma,
        figure=svg[svg.index("<svg") :],
        slope_at_one=float(l_slope(1.0)),
        least_l=float(l_of(checked.rho).min()),
    )
    store.write_text(folder / "index.html", html)
    return folder / "index.html"


def _grid_csv(checked: PropositionCheck) -> str:
    lines = ["rho,r_1,l,least_k_over_r_squared"]
    for rho, bound, value, least in zip(
        checked.rho, r_1(checked.rho), l_of(checked.rho), checked.k.min(axis=1), strict=True
    ):
        lines.append(f"{rho:.12g},{bound:.6g},{value:.6g},{least:.6g}")
    return "\n".join(lines) + "\n"
