"""The page, figure and grid of `sdd-eval proposition`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.paper.proposition import PropositionCheck, l_of, l_slope, normalised_k, r_1

#: Ratios ρ of the two gradients' norms that are drawn.
RATIOS = (1.2, 1.5, 2.0, 3.0, 5.0)


def write_proposition(folder: Path, checked: PropositionCheck, lemma: Mapping[str, float]) -> Path:
    """Write `index.html`, `k.pdf`, `k.svg` and `grid.csv` into a folder; the page's path.

    `lemma` gives, by direction, the relative error of Lemma 1.

    Raises:
        InputError: the folder cannot be written.
    """
    from sdd_eval.figures.style import figure_bytes, house_style
    from sdd_eval.paper.proposition import draw_k_curves

    with house_style():
        drawn = draw_k_curves({rho: normalised_k(rho) for rho in RATIOS})
        files = {f"k.{kind}": figure_bytes(drawn, kind) for kind in ("pdf", "svg")}
    for name, content in files.items():
        store.write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    store.write_text(folder / "grid.csv", _grid(checked))
    svg = files["k.svg"].decode()
    page = folder / "index.html"
    store.write_text(page, _page(checked, lemma, svg[svg.index("<svg") :]))
    return page


def _page(checked: PropositionCheck, lemma: Mapping[str, float], figure: str) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sdd_eval", "report/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    values: dict[str, Any] = {
        "checked": checked,
        "lemma": lemma,
        "figure": figure,
        "slope_at_one": float(l_slope(1.0)),
        "least_l": float(l_of(checked.rho).min()),
    }
    return environment.get_template("proposition.html.jinja").render(values)


def _grid(checked: PropositionCheck) -> str:
    """One line a ρ: r₁, l(ρ) and the least k(r)/r² up to r₁."""
    lines = ["rho,r_1,l,least_k_over_r_squared"]
    for rho, bound, value, least in zip(
        checked.rho, r_1(checked.rho), l_of(checked.rho), checked.k.min(axis=1), strict=True
    ):
        lines.append(f"{rho:.12g},{bound:.6g},{value:.6g},{least:.6g}")
    return "\n".join(lines) + "\n"
