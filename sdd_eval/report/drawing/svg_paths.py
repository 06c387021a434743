"""Paths of an SVG in few letters: tenths of a point, steps, and no point that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: A point in tenths of a point of print.
Point = tuple[int, int]
#: A letter of a path's language, and the points that follow it.
Segment = tuple[str, list[Point]]

#: How far, in tenths of a point of print, a line may leave the points that it goes by: less than a
#: tenth of its own width.
TOLERANCE = 1.0
#: How far outside of a frame a point may lie, in points of print, and not be cut.
_EDGE = 0.1


def short_path(text: str, scale: float = 1.0) -> str:
    """The `d` of a path of absolute lines and curves in steps; open lines are thinned.

    >>> short_path("M 10 20.04 \\nL 11.5 20 \\nL 13 20 \\nL 13 19.5")
    'M10 20h3v-.5'
    """
    found, at = [], (0, 0)
    for command, points in _thinned(list(_segments(text.split(), scale))):
        found.append(_step(command, points, at))
        at = points[-1] if points else at
    return "".join(found)


def rounded(text: str) -> str:
    """Text whose numbers have a decimal at most."""
    return re.sub(r"-?\d+\.\d+", lambda found: number_of(found[0]), text)


def number_of(value: str | float) -> str:
    """A number with a decimal at most, in few letters.

    >>> number_of("0.52"), number_of(-7), number_of("12.04")
    ('.5', '-7', '12')
    """
    return _tenths(round(10 * float(value)))


def within(text: str, x: float, y: float, width: float, height: float) -> bool:
    """Whether all points of a path of absolute lines lie in a frame; False of any curve."""
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
    """The letters of a path, each with its points."""
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
    """The segments; of those that make an open line, only what can be seen."""
    place = 0
    while place < len(segments):
        end = place + 1
        while end < len(segments) and segments[end][0] == "L":
            end += 1
        stroke = segments[place:end]
        is_open = end == len(segments) or segments[end][0] == "M"
        if stroke[0][0] == "M" and is_open:
            first, *rest = thinned([points[0] for _, points in stroke])
            yield "M", [first]
            yield from (("L", [point]) for point in rest)
        else:
            yield from stroke
        place = end


def _step(command: str, points: Sequence[Point], at: Point) -> str:
    """A segment as steps from where the pen is."""
    if command == "z":
        return "z"
    if command == "M":
        return f"M{_pairs(points)}"
    steps = [(x - at[0], y - at[1]) for x, y in points]
    dx, dy = steps[0]
    if command == "L" and 0 in (dx, dy):
        return f"v{_tenths(dy)}" if dy else f"h{_tenths(dx)}"
    return f"{command.lower()}{_pairs(steps)}"


def _pairs(points: Sequence[Point]) -> str:
    """Numbers in a row, parted by a space where a sign does not part them."""
    texts = [_tenths(number) for point in points for number in point]
    return "".join(
        text if not place or text.startswith("-") else f" {text}"
        for place, text in enumerate(texts)
    )


def _tenths(number: int) -> str:
    """A number of tenths: 15 is 1.5, −5 is −.5."""
    whole, tenth = divmod(abs(number), 10)
    text = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{text}" if number < 0 else text


def thinned(points: Sequence[Point]) -> list[Point]:
    """The points without those that the line through the others goes by (Douglas, Peucker 1973)."""
    kept = [False] * len(points)
    kept[0] = kept[-1] = True
    open_ends = [(0, len(points) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        farthest, place = TOLERANCE**2, 0
        for index in range(first + 1, last):
            away = _away(points[index], points[first], points[last])
            if away > farthest:
                farthest, place = away, index
        if place:
            kept[place] = True
            open_ends += [(first, place), (place, last)]
    return [point for point, keep in zip(points, kept, strict=True) if keep]


def _away(point: Point, first: Point, last: Point) -> float:
    """The square of a point's distance to the stretch between two others."""
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


def lines_joined(svg: str) -> str:
    """The SVG with each axis' grid lines, and its ticks, as one path; labels stay as they are."""
    ticks = {name: (float(x), float(y), style) for name, x, y, style in _TICK.findall(svg)}
    svg = _AXIS.sub(lambda found: _joined(found[0], ticks), svg)
    used = set(re.findall(r'href="#(\w+)"', svg))
    return _TICK.sub(lambda found: found[0] if found[1] in used else "", svg)


def _joined(axis: str, ticks: dict[str, tuple[float, float, str]]) -> str:
    """One axis, its lines before its labels."""
    paths: dict[str, list[str]] = {}

    def grid(found: re.Match[str]) -> str:
        paths.setdefault(found[2], []).append(found[1])
        return ""

    def tick(found: re.Match[str]) -> str:
        if found[1] not in ticks:
            return found[0]
        right, down, style = ticks[found[1]]
        x, y = float(found[2]), float(found[3])
        line = f"M {x} {y} L {x + right} {y + down} "
        paths.setdefault(f' style="{style}"', []).append(line)
        return ""

    head, rest = axis.split("\n", 1)
    rest = _PLACED.sub(tick, _GRID.sub(grid, rest))
    lines = "".join(f'<path d="{"".join(every)}"{look}/>' for look, every in paths.items())
    return f"{head}\n{lines}{rest}"
