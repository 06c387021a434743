"""Shorten the paths of an SVG: tenths of a point, relative commands, no invisible points."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: Coordinates in tenths of a (typographic) point.
Point = tuple[int, int]
#: A command of a path and the points that follow it.
Segment = tuple[str, list[Point]]

#: Maximum distance, in tenths of a point, between a thinned line and the points that it omits: less
#: than a tenth of the line's width.
TOLERANCE = 1.0
#: Tolerance, in points, for points outside of a frame.
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
