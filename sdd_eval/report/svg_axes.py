"""The grid lines and ticks of an axis of a matplotlib SVG file: one path a look, not one a line."""

from __future__ import annotations

import re

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
