"""Convert matplotlib's SVG files to inline SVG: unique ids, theme colours, hoverable values."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from sdd_eval.figures.points import Tooltip
from sdd_eval.figures.style import GRID, INK, MUTED, PAPER

#: CSS variables for the colours that differ between the light and the dark page.
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
_GLYPH = re.compile(r'<path id="([^"]+)"(?: d="([^"]*)")? transform="scale\(([^)]+)\)"/>')
_CLIP = re.compile(
    r'<clipPath id="([^"]+)"><rect x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)"/>'
    r"</clipPath>"
)


class SharedSvg:
    """The glyphs, words and styles that the figures of a page share, each defined once."""

    def __init__(self) -> None:
        self.glyphs: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.styles: dict[str, str] = {}

    def extract(self, body: str) -> str:
        """Replace the glyphs, words and styles of an SVG with references to the shared ones."""
        names: dict[str, str] = {}

        def glyph(match: re.Match[str]) -> str:
            shape = short_path(match[2] or "", float(match[3]))
            names[match[1]] = self.glyphs.setdefault(shape, f"g{len(self.glyphs)}")
            return ""

        def style(match: re.Match[str]) -> str:
            if "url(" in match[1]:  # a hatch, which belongs to this figure alone
                return f' style="{_themed(match[1])}"'
            return f' class="{self.styles.setdefault(match[1], f"s{len(self.styles)}")}"'

        body = _GLYPH.sub(glyph, body).replace("<defs></defs>", "")
        body = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{names.get(m[1], m[1])}"', body)
        body = re.sub(r' style="([^"]*)"', style, body)
        return _WORD.sub(self._word, body)

    def _word(self, match: re.Match[str]) -> str:
        """Replace a word with a reference to a shared one of the same size and style."""
        style, x, y, rotation, size, glyphs = match.groups(default="")
        glyphs = re.sub(r' transform="translate\(([^ ]+) 0\)"', r' x="\1"', glyphs)
        definition = f'{style} transform="{size.strip()}">{rounded(glyphs)}'
        name = self.words.setdefault(definition, f"w{len(self.words)}")
        x, y = format_number(x), format_number(y)
        if rotation:
            return f'<use href="#{name}" transform="translate({x} {y}){rotation}"/>'
        return f'<use href="#{name}" x="{x}" y="{y}"/>'

    def sprite(self) -> str:
        """Return an invisible SVG with the definitions of glyphs and words."""
        paths = "".join(f'<path id="{n}" d="{shape}"/>' for shape, n in self.glyphs.items())
        paths += "".join(f'<g id="{name}"{word}</g>' for word, name in self.words.items())
        head = '<svg class="glyphs" aria-hidden="true" focusable="false">'
        return f"{head}<defs>{paths}</defs></svg>"

    def style_sheet(self) -> str:
        """Return the styles as CSS, with variables for colours that have a dark version."""
        return "\n".join(f".{name}{{{_themed(style)}}}" for style, name in self.styles.items())


def _themed(style: str) -> str:
    """Replace themed colours with CSS variables, and remove spaces."""
    for colour, name in THEMED.items():
        style = re.sub(rf"(?<=[ :]){colour}\b", f"var(--{name})", style)
    return re.sub(r"\s*([:;])\s*", r"\1", style)


def inline_svg(
    svg: str,
    prefix: str,
    label: str,
    values: Sequence[Tooltip],
    shared: SharedSvg,
    described: Mapping[str, int] | None = None,
) -> str:
    """Convert a matplotlib SVG file to an `<svg>` element that can share a page with others.

    Referenced ids get a prefix (matplotlib counts from 1 in each figure). Comments, other ids and
    groups without attributes are removed, and coordinates are rounded to a tenth of a point.

    `label` is the accessible name of the figure; `values` are shown on hover and focus. Texts in
    `described` are referenced by their index in another drawing of the figure, not repeated.
    """
    body = merge_lines(svg[svg.index("<svg") :])
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL).strip()
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # the page has it once for all
    body = re.sub(r">\s+<", "><", body).replace("xlink:href=", "href=")
    body = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", body)
    body = re.sub(r' fill="(#[0-9a-f]{6})"', r' style="fill: \1"', body)
    body = _shortened(_without_idle_clips(shared.extract(body)))
    body = _without_plain_groups(_with_unique_ids(body, prefix))
    body = _CLIPPED.sub(lambda m: f"<g{m[1]}>{m[0].replace(m[1], '')}</g>", body)
    return _labelled(body, label, _value_boxes(values, described or {}))


def _without_idle_clips(body: str) -> str:
    frames = {name: tuple(map(float, frame)) for name, *frame in _CLIP.findall(body)}

    def unclip(match: re.Match[str]) -> str:
        frame = frames.get(match[2])
        fits = frame is not None and within(match[1], *frame)
        return match[0].replace(f' clip-path="url(#{match[2]})"', "") if fits else match[0]

    body = re.sub(r'<path d="([^"]*)" clip-path="url\(#([^)]+)\)"[^>]*/>', unclip, body)
    used = set(re.findall(r"url\(#([^)]+)\)", body))
    return _CLIP.sub(lambda match: match[0] if match[1] in used else "", body)


def _with_unique_ids(body: str, prefix: str) -> str:
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    ids = {name: f"{prefix}{index}" for index, name in enumerate(used) if f'id="{name}"' in body}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{ids[m[1]]}"' if m[1] in ids else "", body)
    body = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{ids.get(m[1], m[1])}"', body)
    return re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{ids.get(m[1], m[1])})", body)


def _without_plain_groups(body: str) -> str:
    body = re.sub(r"<defs></defs>|<g/>", "", body)
    plain: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        if match[0] == "</g>":
            return "" if plain.pop() else "</g>"
        plain.append(match[0] == "<g>")
        return "" if plain[-1] else match[0]

    return re.sub(r"<g(?: [^>]*[^>/])?>|</g>", tag, body)


def _labelled(body: str, label: str, boxes: str) -> str:
    """Hide the drawing from screen readers, which read the label and the values instead."""
    head, rest = body.split(">", 1)
    role = f'role="{"group" if boxes else "img"}" aria-label="{html.escape(label, quote=True)}"'
    return (
        f'{head.replace("<svg", f"<svg {role}", 1)}><g aria-hidden="true">'
        f"{rest.removesuffix('</svg>')}</g>{boxes}</svg>"
    )


def _value_boxes(values: Sequence[Tooltip], described: Mapping[str, int]) -> str:
    """Return a box per value, titled for hover and screen readers, grouped by series."""
    if not values:
        return ""
    texts = [_series_and_point(v.text) if v.text not in described else ("", "") for v in values]
    indices = itertools.groupby(range(len(values)), key=lambda index: texts[index][0])
    groups = []
    for series, members in indices:
        boxes = "".join(
            _value_box(values[i], texts[i][1], described.get(values[i].text), i) for i in members
        )
        title = f"<title>{html.escape(series)}</title>"
        groups.append(f"<g>{title}{boxes}</g>" if series else boxes)
    return f'<g class="values">{"".join(groups)}</g>'


def _series_and_point(text: str) -> tuple[str, str]:
    """Split a value's text into series and point: "CE, fog" and "Severity 3: 71 %"."""
    series, comma, _ = text.partition(": ")[0].rpartition(", ")
    return (series, text[len(series + comma) :]) if comma else ("", text)


def _value_box(value: Tooltip, text: str, described: int | None, index: int) -> str:
    """Return a box with its text, or a reference to another index of the other drawing."""
    x, y, width, height = map(format_number, (value.x, value.y, value.width, value.height))
    path = f'<path d="M{x} {y}h{width}v{height}h-{width}z"'
    if described is None:
        return f"{path}><title>{html.escape(text)}</title></path>"
    return f"{path}/>" if described == index else f'{path} data-of="{described}"/>'


def _shortened(body: str) -> str:
    """Round coordinates to one decimal, and write paths with relative commands."""
    body = re.sub(r' d="([^"]*)"', lambda m: f' d="{short_path(m[1])}"', body)
    return re.sub(
        r' (x|y|width|height|transform)="([^"]*)"',
        lambda m: f' {m[1]}="{_rounded_position(m[2])}"',
        body,
    )


def _rounded_position(text: str) -> str:
    """Round the numbers of a position, but not those of a scale."""
    parts = re.split(r"(scale\([^)]*\))", text)
    return "".join(part if part.startswith("scale") else rounded(part) for part in parts)


def svg_width(svg: str) -> float:
    """Return the width of an SVG file in points."""
    match = re.search(r'<svg[^>]*?\bwidth="([0-9.]+)pt"', svg, flags=re.DOTALL)
    return float(match.group(1)) if match else 0.0


#: Coordinates in tenths of a (typographic) point.
Point = tuple[int, int]
#: A path command and the points that follow it.
Segment = tuple[str, list[Point]]

#: Maximum distance, in tenths of a point, between a thinned line and the points that it omits: less
#: than a tenth of the line's width.
TOLERANCE = 1.0
#: Tolerance, in points, for points outside a frame.
_EDGE = 0.1


def short_path(text: str, scale: float = 1.0) -> str:
    r"""Convert the `d` of an absolute path to relative commands; open lines are thinned.

    >>> short_path("M 10 20.04 \nL 11.5 20 \nL 13 20 \nL 13 19.5")
    'M10 20h3v-.5'
    """
    steps, position = [], (0, 0)
    for command, points in _thinned(list(_segments(text.split(), scale))):
        steps.append(_step(command, points, position))
        position = points[-1] if points else position
    return "".join(steps)


def rounded(text: str) -> str:
    """Round the decimal numbers in a text to one decimal."""
    return re.sub(r"-?\d+\.\d+", lambda match: format_number(match[0]), text)


def format_number(value: str | float) -> str:
    """Format a number with at most one decimal and no leading zero.

    >>> format_number("0.52"), format_number(-7), format_number("12.04")
    ('.5', '-7', '12')
    """
    return _tenths(round(10 * float(value)))


def within(text: str, x: float, y: float, width: float, height: float) -> bool:
    """Return whether a path of absolute lines lies in a frame; False for any path with curves."""
    words = text.split()
    if {word for word in words if word.isalpha()} - {"M", "L", "z"}:
        return False
    numbers = [float(word) for word in words if not word.isalpha()]
    return (
        x - _EDGE <= min(numbers[::2])
        and max(numbers[::2]) <= x + width + _EDGE
        and y - _EDGE <= min(numbers[1::2])
        and max(numbers[1::2]) <= y + height + _EDGE
    )


def _segments(words: Sequence[str], scale: float) -> Iterator[Segment]:
    command, numbers = "", list[float]()
    for word in (*words, "end"):
        if not word.isalpha():
            numbers.append(10 * scale * float(word))
            continue
        if command:
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            yield command, [(round(x), round(y)) for x, y in pairs]
        command, numbers = word, []


def _thinned(segments: list[Segment]) -> Iterator[Segment]:
    """Yield the segments of a path, with open lines thinned."""
    begin = 0
    while begin < len(segments):
        end = begin + 1
        while end < len(segments) and segments[end][0] == "L":
            end += 1
        stroke = segments[begin:end]
        is_open = end == len(segments) or segments[end][0] == "M"
        if stroke[0][0] == "M" and is_open:
            first, *rest = thinned([points[0] for _, points in stroke])
            yield "M", [first]
            yield from (("L", [point]) for point in rest)
        else:
            yield from stroke
        begin = end


def _step(command: str, points: Sequence[Point], position: Point) -> str:
    if command == "z":
        return "z"
    if command == "M":
        return f"M{_pairs(points)}"
    steps = [(x - position[0], y - position[1]) for x, y in points]
    dx, dy = steps[0]
    if command == "L" and 0 in (dx, dy):
        return f"v{_tenths(dy)}" if dy else f"h{_tenths(dx)}"
    return f"{command.lower()}{_pairs(steps)}"


def _pairs(points: Sequence[Point]) -> str:
    """Join numbers, with a space only where no sign separates them."""
    texts = [_tenths(number) for point in points for number in point]
    return "".join(
        text if not index or text.startswith("-") else f" {text}"
        for index, text in enumerate(texts)
    )


def _tenths(number: int) -> str:
    """Format a number of tenths: 15 is 1.5, −5 is -.5."""
    whole, tenth = divmod(abs(number), 10)
    text = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{text}" if number < 0 else text


def thinned(points: Sequence[Point]) -> list[Point]:
    """Remove points within `TOLERANCE` of the line through the others (Douglas, Peucker 1973)."""
    selected = [False] * len(points)
    selected[0] = selected[-1] = True
    pending = [(0, len(points) - 1)]
    while pending:
        first, last = pending.pop()
        farthest, split = TOLERANCE**2, 0
        for index in range(first + 1, last):
            distance = _squared_distance(points[index], points[first], points[last])
            if distance > farthest:
                farthest, split = distance, index
        if split:
            selected[split] = True
            pending += [(first, split), (split, last)]
    return [point for point, keep in zip(points, selected, strict=True) if keep]


def _squared_distance(point: Point, first: Point, last: Point) -> float:
    along, down = last[0] - first[0], last[1] - first[1]
    x, y = point[0] - first[0], point[1] - first[1]
    length = along * along + down * down
    share = min(1.0, max(0.0, (x * along + y * down) / length)) if length else 0.0
    dx, dy = x - share * along, y - share * down
    return dx * dx + dy * dy


_AXIS = re.compile(r'^( *)<g id="matplotlib\.axis_\d+">\n.*?^\1</g>\n', re.MULTILINE | re.DOTALL)
_GRID = re.compile(r'<path d="([^"]*)"( clip-path="[^"]*" style="[^"]*")/>')
_TICK = re.compile(r'<path id="(\w+)" d="M 0 0 \nL (\S+) (\S+) \n" style="([^"]*)"/>')
_PLACED = re.compile(r'<use xlink:href="#(\w+)" x="([^"]+)" y="([^"]+)" style="[^"]*"/>')


def merge_lines(svg: str) -> str:
    """Merge the grid lines and the ticks of each axis into one path each; keep the labels."""
    ticks = {name: (float(x), float(y), style) for name, x, y, style in _TICK.findall(svg)}
    svg = _AXIS.sub(lambda match: _merged_axis(match[0], ticks), svg)
    used = set(re.findall(r'href="#(\w+)"', svg))
    return _TICK.sub(lambda match: match[0] if match[1] in used else "", svg)


def _merged_axis(axis: str, ticks: dict[str, tuple[float, float, str]]) -> str:
    """Merge the lines of one axis and put them before its labels."""
    paths: dict[str, list[str]] = {}

    def grid(match: re.Match[str]) -> str:
        paths.setdefault(match[2], []).append(match[1])
        return ""

    def tick(match: re.Match[str]) -> str:
        if match[1] not in ticks:
            return match[0]
        right, down, style = ticks[match[1]]
        x, y = float(match[2]), float(match[3])
        line = f"M {x} {y} L {x + right} {y + down} "
        paths.setdefault(f' style="{style}"', []).append(line)
        return ""

    head, rest = axis.split("\n", 1)
    rest = _PLACED.sub(tick, _GRID.sub(grid, rest))
    lines = "".join(f'<path d="{"".join(parts)}"{style}/>' for style, parts in paths.items())
    return f"{head}\n{lines}{rest}"
