"""Figures inline in a page: ids of their own, colours that follow the page's theme."""

from __future__ import annotations

import html
import re

from sdd_eval.figures.style import GRID, INK, MUTED, PAPER

#: Colours of the figures that have another value on a dark page, by the name of the variable.
THEMED = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    "#0072b2": "blue",
    "#d55e00": "vermilion",
    "#009e73": "green",
}


def inline(svg: str, prefix: str, label: str) -> str:
    """The `<svg>` element of a matplotlib SVG file, safe beside others in one page.

    Every id in use gets the prefix (matplotlib counts from 1 in each figure), comments and other
    ids go, and the label is what a screen reader says.
    """
    start = svg.index("<svg")
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[start:], flags=re.DOTALL).strip()
    body = re.sub(r">\s+<", "><", body).replace("xlink:href=", "href=")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body
    )
    body = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", body)
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body)
    body = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', body)
    for colour, name in THEMED.items():
        body = re.sub(rf"(?<=[ :]){colour}\b", f"var(--{name}, {colour})", body)
    role = f'<svg role="img" aria-label="{html.escape(label, quote=True)}"'
    return re.sub(r"\A<svg", role, body)


def width_of(svg: str) -> float:
    """The width of an SVG file in points."""
    found = re.search(r'<svg[^>]*?\bwidth="([0-9.]+)pt"', svg, flags=re.DOTALL)
    return float(found.group(1)) if found else 0.0
