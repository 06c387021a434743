"""Where in a TOML file each key stands: parsers tell the values, errors need the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A key's way from the top; of arrays of tables also which one, e.g. ("train", 1, "method").
Way = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]|.')


def key_lines(text: str) -> dict[Way, int]:
    """The line, from 1, of every table and key of a TOML document that parses.

    >>> key_lines('seeds = [0]\\n[[train]]\\nmethod = "ce"')
    {('seeds',): 1, ('train', 0): 2, ('train', 0, 'method'): 3}
    """
    found: dict[Way, int] = {}
    table: Way = ()
    for number, line in _statements(text):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _table(header[1] == "[[", _parts(header[2]), found)
            found.setdefault(table, number)
        elif key:
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def line_of(way: Way, lines: dict[Way, int]) -> int:
    """The line of a key, or of the nearest table or key above it that has one; else 1.

    An array of tables has that of its first.

    >>> line_of(("train",), {("seeds",): 1, ("train", 0): 2, ("train", 1): 5})
    2
    """
    for end in range(len(way), 0, -1):
        for found in (way[:end], (*way[:end], 0)):
            if found in lines:
                return lines[found]
    return 1


def _parts(dotted: str) -> Way:
    """The parts of a dotted key, without quotes."""
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _table(array: bool, parts: Way, found: dict[Way, int]) -> Way:
    """The way of a header: a part that names an array of tables means its last one so far."""
    way: Way = ()
    for index, part in enumerate(parts):
        way = (*way, part)
        last = index == len(parts) - 1
        count = sum(1 for each in found if each[:-1] == way and isinstance(each[-1], int))
        if last and array:
            way = (*way, count)
        elif count:
            way = (*way, count - 1)
    return way


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines on which a statement begins: not those inside arrays or texts of several lines."""
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if depth == 0 and not quote:
            yield number, line
            if _HEADER.match(line):
                continue
        for token in _TOKEN.findall(line):
            if token in ('"""', "'''"):
                quote = "" if token == quote else quote or token
            elif not quote:
                depth += (token in ("[", "{")) - (token in ("]", "}"))
