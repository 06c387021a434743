"""Figures inline in a page: ids of their own, theme colours, values to hover over and to focus."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from sdd_eval.figures.style import GRID, INK, MUTED, PAPER
from sdd_eval.figures.values import Value

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

_WORD = re.compile(r'<g([^>]*transform="translate[^>]*)>((?:<use href="#g\d+"[^>]*/>)+)</g>')
_CLIPPED = re.compile(
    r'(?:<(?:path|use)[^>]*?( clip-path="[^"]*")[^>]*/>)(?:<(?:path|use)[^>]*\1[^>]*/>)+'
)
_GLYPH = re.compile(r'<path id="(DejaVu[^"]+)"([^>]*)/>')


class Shared:
    """What the figures of a page have in common, said once: letters, words and looks."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.glyphs: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.looks: dict[str, str] = {}

    def taken_from(self, body: str) -> str:
        """The SVG with its letters and looks replaced by references to the shared ones."""

        def glyph(found: re.Match[str]) -> str:
            names[found[1]] = self.glyphs.setdefault(found[2].strip(), f"g{len(self.glyphs)}")
            return ""

        def look(found: re.Match[str]) -> str:
            if "url(" in found[1]:  # a hatch, which is the figure's own
                return f' style="{_themed(found[1])}"'
            return f' class="{self.looks.setdefault(found[1], f"s{len(self.looks)}")}"'

        def word(found: re.Match[str]) -> str:
            inside = found[2]
            name = self.words.setdefault(inside, f"w{len(self.words)}")
            return f'<use href="#{name}"{found[1]}/>'

        names: dict[str, str] = {}
        body = _GLYPH.sub(glyph, body).replace("<defs></defs>", "")
        body = re.sub(r'href="#(DejaVu[^"]+)"', lambda m: f'href="#{names.get(m[1], m[1])}"', body)
        body = re.sub(r' style="([^"]*)"', look, body)
        return _WORD.sub(word, body)

    def sprite(self) -> str:
        """An SVG that shows nothing and holds the letters and words."""
        paths = "".join(f'<path id="{name}" {path}/>' for path, name in self.glyphs.items())
        paths += "".join(f'<g id="{name}">{uses}</g>' for uses, name in self.words.items())
        head = '<svg class="glyphs" aria-hidden="true" focusable="false">'
        return f"{head}<defs>{paths}</defs></svg>"

    def sheet(self) -> str:
        """The looks as a style sheet; colours that have a dark twin are variables."""
        return "\n".join(f".{name}{{{_themed(look)}}}" for look, name in self.looks.items())


def _themed(look: str) -> str:
    for colour, name in THEMED.items():
        look = re.sub(rf"(?<=[ :]){colour}\b", f"var(--{name})", look)
    return re.sub(r"\s*([:;])\s*", r"\1", look)


def inline(svg: str, prefix: str, label: str, values: Sequence[Value], shared: Shared) -> str:
    """The `<svg>` element of a matplotlib SVG file, safe beside others in one page.

    Ids in use get the prefix (matplotlib counts from 1 in each figure), comments and other ids go,
    coordinates keep a tenth of a point. The label is what a screen reader says; over the
    drawing lie boxes with the values.
    """
    start = svg.index("<svg")
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[start:], flags=re.DOTALL).strip()
    body = re.sub(r">\s+<", "><", body).replace("xlink:href=", "href=")
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body)
    body = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', body)
    body = _flat(_shortened(_own_ids(shared.taken_from(body), prefix)))
    return _labelled(_CLIPPED.sub(_clipped_at_once, body), label, values)


def _clipped_at_once(found: re.Match[str]) -> str:
    """Elements that are cut by the same frame, one after the other, in one group."""
    return f"<g{found[1]}>{found[0].replace(found[1], '')}</g>"


def _own_ids(body: str, prefix: str) -> str:
    """Short ids that no other figure has; none where nothing refers to them."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    own = {name: f"{prefix}-{index}" for index, name in enumerate(used) if f'id="{name}"' in body}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{own[m[1]]}"' if m[1] in own else "", body)
    body = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{own.get(m[1], m[1])}"', body)
    return re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{own.get(m[1], m[1])})", body)


def _flat(body: str) -> str:
    """The SVG without groups that hold one element, or none."""
    before = ""
    while before != body:
        before = body
        body = re.sub(r"<g></g>", "", body)
        body = re.sub(r"<g>(<(?:path|use)[^>]*/>)</g>", r"\1", body)
    return body


def _labelled(body: str, label: str, values: Sequence[Value]) -> str:
    """The drawing hidden from screen readers, which hear the label and the values instead."""
    head, rest = body.split(">", 1)
    role = f'role="{"group" if values else "img"}" aria-label="{html.escape(label, quote=True)}"'
    return (
        f'{head.replace("<svg", f"<svg {role}", 1)}><g aria-hidden="true">'
        f"{rest.removesuffix('</svg>')}</g>{_boxes(values)}</svg>"
    )


def _boxes(values: Sequence[Value]) -> str:
    """A box a value; its title is what a mouse, a finger or a screen reader gets."""
    if not values:
        return ""
    boxes = [
        f'<rect x="{v.x:g}" y="{v.y:g}" width="{v.width:g}" height="{v.height:g}">'
        + (f"<title>{html.escape(v.text)}</title></rect>" if v.text else "</rect>")
        for v in values
    ]
    return f'<g class="values">{"".join(boxes)}</g>'


def _shortened(body: str) -> str:
    """Coordinates with a decimal, scales as they are; a line's points from one to the next."""
    body = re.sub(r' d="([^"]*)"', lambda m: f' d="{_path(m[1])}"', body)
    return re.sub(
        r' (x|y|width|height|transform)="([^"]*)"', lambda m: f' {m[1]}="{_rounded(m[2])}"', body
    )


def _rounded(text: str) -> str:
    kept = re.split(r"(scale\([^)]*\))", text)
    return "".join(
        each if each.startswith("scale") else re.sub(r"-?\d+\.\d+", _decimal, each) for each in kept
    )


def _decimal(found: re.Match[str]) -> str:
    return f"{round(float(found[0]), 1):g}"


def _path(text: str) -> str:
    """A path; one of lines alone in steps of tenths of a point."""
    words = text.split()
    if not set(words) <= {"M", "L", "z"} | {w for w in words if w[-1].isdigit()}:
        return re.sub(r"\s*([MLCQSz])\s*", r"\1", _rounded(" ".join(words)))
    found, at, command = [], (0, 0), ""
    numbers = iter(words)
    for word in numbers:
        if not word[-1].isdigit():
            command = word
            found += ["z"] if word == "z" else []
            continue
        x, y = (round(10 * float(each)) for each in (word, next(numbers)))
        step = (x, y) if command == "M" else (x - at[0], y - at[1])
        found.append(f"{'M' if command == 'M' else 'l'}{step[0] / 10:g} {step[1] / 10:g}")
        at = (x, y)
    return "".join(found)


def width_of(svg: str) -> float:
    """The width of an SVG file in points."""
    found = re.search(r'<svg[^>]*?\bwidth="([0-9.]+)pt"', svg, flags=re.DOTALL)
    return float(found.group(1)) if found else 0.0
