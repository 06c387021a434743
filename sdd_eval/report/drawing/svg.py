"""Figures inline in a page: ids of their own, theme colours, values to hover over and to focus."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Mapping, Sequence

from sdd_eval.figures.points import Tooltip
from sdd_eval.figures.style import GRID, INK, MUTED, PAPER
from sdd_eval.report.drawing.svg_paths import lines_joined, number_of, rounded, short_path, within

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

_WORD = re.compile(
    r'<g( class="\w+")? transform="translate\(([^ ]+) ([^)]+)\)( rotate\([^)]*\))?'
    r'( scale\([^)]*\))">((?:<use href="#g\w+"[^>]*/>)+)</g>'
)
_CLIPPED = re.compile(
    r'(?:<(?:path|use)[^>]*?( clip-path="[^"]*")[^>]*/>)(?:<(?:path|use)[^>]*\1[^>]*/>)+'
)
_GLYPH = re.compile(r'<path id="(DejaVu[^"]+)"(?: d="([^"]*)")? transform="scale\(([^)]+)\)"/>')
_CLIP = re.compile(
    r'<clipPath id="([^"]+)"><rect x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)"/>'
    r"</clipPath>"
)


class Shared:
    """What the figures of a page have in common, said once: letters, words and looks."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.glyphs: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.looks: dict[str, str] = {}

    def taken_from(self, body: str) -> str:
        """The SVG with its letters and looks replaced by references to the shared ones."""
        names: dict[str, str] = {}

        def glyph(found: re.Match[str]) -> str:
            shape = short_path(found[2] or "", float(found[3]))
            names[found[1]] = self.glyphs.setdefault(shape, f"g{len(self.glyphs)}")
            return ""

        def look(found: re.Match[str]) -> str:
            if "url(" in found[1]:  # a hatch, which is the figure's own
                return f' style="{_themed(found[1])}"'
            return f' class="{self.looks.setdefault(found[1], f"s{len(self.looks)}")}"'

        body = _GLYPH.sub(glyph, body).replace("<defs></defs>", "")
        body = re.sub(r'href="#(DejaVu[^"]+)"', lambda m: f'href="#{names.get(m[1], m[1])}"', body)
        body = re.sub(r' style="([^"]*)"', look, body)
        return _WORD.sub(self._word, body)

    def _word(self, found: re.Match[str]) -> str:
        """A word of letters, which stands once, in its size and look."""
        look, x, y, turned, size, letters = found.groups(default="")
        inside = re.sub(r' transform="translate\(([^ ]+) 0\)"', r' x="\1"', letters)
        whole = f'{look} transform="{size.strip()}">{rounded(inside)}'
        name = self.words.setdefault(whole, f"w{len(self.words)}")
        x, y = number_of(x), number_of(y)
        if turned:
            return f'<use href="#{name}" transform="translate({x} {y}){turned}"/>'
        return f'<use href="#{name}" x="{x}" y="{y}"/>'

    def sprite(self) -> str:
        """An SVG that shows nothing and holds the letters and words."""
        paths = "".join(f'<path id="{n}" d="{shape}"/>' for shape, n in self.glyphs.items())
        paths += "".join(f'<g id="{name}"{whole}</g>' for whole, name in self.words.items())
        head = '<svg class="glyphs" aria-hidden="true" focusable="false">'
        return f"{head}<defs>{paths}</defs></svg>"

    def sheet(self) -> str:
        """The looks as a style sheet; colours that have a dark twin are variables."""
        return "\n".join(f".{name}{{{_themed(look)}}}" for look, name in self.looks.items())


def _themed(look: str) -> str:
    for colour, name in THEMED.items():
        look = re.sub(rf"(?<=[ :]){colour}\b", f"var(--{name})", look)
    return re.sub(r"\s*([:;])\s*", r"\1", look)


def inline(
    svg: str,
    prefix: str,
    label: str,
    values: Sequence[Tooltip],
    shared: Shared,
    said: Mapping[str, int] | None = None,
) -> str:
    """The `<svg>` element of a matplotlib SVG file, safe beside others in one page.

    Ids in use get the prefix (matplotlib counts from 1 in each figure), comments, other ids and
    groups without a meaning go, coordinates keep a tenth of a point. The label is what a screen
    reader says; over the drawing lie boxes with the values. `said` gives, for words that another
    drawing of the same figure has, their place there.
    """
    body = lines_joined(svg[svg.index("<svg") :])
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL).strip()
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # the page has it for all
    body = re.sub(r">\s+<", "><", body).replace("xlink:href=", "href=")
    body = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", body)
    body = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', body)
    body = _shortened(_unclipped(shared.taken_from(body)))
    body = _flat(_own_ids(body, prefix))
    return _labelled(_CLIPPED.sub(_clipped_at_once, body), label, _boxes(values, said or {}))


def _unclipped(body: str) -> str:
    """The SVG without frames that cut nothing."""
    frames = {name: tuple(map(float, frame)) for name, *frame in _CLIP.findall(body)}

    def free(found: re.Match[str]) -> str:
        frame = frames.get(found[2])
        fits = frame is not None and within(found[1], *frame)
        return found[0].replace(f' clip-path="url(#{found[2]})"', "") if fits else found[0]

    body = re.sub(r'<path d="([^"]*)" clip-path="url\(#([^)]+)\)"[^>]*/>', free, body)
    used = set(re.findall(r"url\(#([^)]+)\)", body))
    return _CLIP.sub(lambda found: found[0] if found[1] in used else "", body)


def _clipped_at_once(found: re.Match[str]) -> str:
    """Elements that are cut by the same frame, one after the other, in one group."""
    return f"<g{found[1]}>{found[0].replace(found[1], '')}</g>"


def _own_ids(body: str, prefix: str) -> str:
    """Short ids that no other figure has; none where nothing refers to them."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    own = {name: f"{prefix}{index}" for index, name in enumerate(used) if f'id="{name}"' in body}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{own[m[1]]}"' if m[1] in own else "", body)
    body = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{own.get(m[1], m[1])}"', body)
    return re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{own.get(m[1], m[1])})", body)


def _flat(body: str) -> str:
    """The SVG without empty groups, and without those that say nothing of what they hold."""
    body = re.sub(r"<defs></defs>|<g/>", "", body)
    plain: list[bool] = []

    def kept(found: re.Match[str]) -> str:
        if found[0] == "</g>":
            return "" if plain.pop() else "</g>"
        plain.append(found[0] == "<g>")
        return "" if plain[-1] else found[0]

    return re.sub(r"<g(?: [^>]*[^>/])?>|</g>", kept, body)


def _labelled(body: str, label: str, boxes: str) -> str:
    """The drawing hidden from screen readers, which hear the label and the values instead."""
    head, rest = body.split(">", 1)
    role = f'role="{"group" if boxes else "img"}" aria-label="{html.escape(label, quote=True)}"'
    return (
        f'{head.replace("<svg", f"<svg {role}", 1)}><g aria-hidden="true">'
        f"{rest.removesuffix('</svg>')}</g>{boxes}</svg>"
    )


def _boxes(values: Sequence[Tooltip], said: Mapping[str, int]) -> str:
    """A box a value; its title is what a mouse, a finger or a screen reader gets.

    Of values in a row that begin alike, the beginning stands once, as the title of their group.
    """
    if not values:
        return ""
    told = [(_parted(v.text) if v.text not in said else ("", ""), v) for v in values]
    groups = itertools.groupby(enumerate(told), key=lambda each: each[1][0][0])
    found = []
    for head, own in groups:
        boxes = "".join(_box(v, words, said.get(v.text), at) for at, ((_, words), v) in own)
        title = f"<title>{html.escape(head)}</title>"
        found.append(f"<g>{title}{boxes}</g>" if head else boxes)
    return f'<g class="values">{"".join(found)}</g>'


def _parted(text: str) -> tuple[str, str]:
    """The words about a series, and those about a place in it: "CE, fog" and "Severity 3: 71 %"."""
    series, comma, _ = text.partition(": ")[0].rpartition(", ")
    return (series, text[len(series + comma) :]) if comma else ("", text)


def _box(value: Tooltip, words: str, said: int | None, place: int) -> str:
    """A box with its words, or with their place in the other drawing if that is not its own."""
    x, y, width, height = map(number_of, (value.x, value.y, value.width, value.height))
    path = f'<path d="M{x} {y}h{width}v{height}h-{width}z"'
    if said is None:
        return f"{path}><title>{html.escape(words)}</title></path>"
    return f"{path}/>" if said == place else f'{path} data-of="{said}"/>'


def _shortened(body: str) -> str:
    """Coordinates with a decimal, scales as they are; a line's points from one to the next."""
    body = re.sub(r' d="([^"]*)"', lambda m: f' d="{short_path(m[1])}"', body)
    return re.sub(
        r' (x|y|width|height|transform)="([^"]*)"', lambda m: f' {m[1]}="{_placed(m[2])}"', body
    )


def _placed(text: str) -> str:
    """Numbers of a place with a decimal; those of a scale as they are."""
    kept = re.split(r"(scale\([^)]*\))", text)
    return "".join(each if each.startswith("scale") else rounded(each) for each in kept)


def width_of(svg: str) -> float:
    """The width of an SVG file in points."""
    found = re.search(r'<svg[^>]*?\bwidth="([0-9.]+)pt"', svg, flags=re.DOTALL)
    return float(found.group(1)) if found else 0.0
