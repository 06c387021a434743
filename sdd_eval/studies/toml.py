"""A table of a study file that knows its lines, so that what is wrong in it is found at once."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Node:
    """A table: its values, its way from the top of the file, and the file's lines."""

    data: Mapping[str, Any]
    way: Way
    file: str
    lines: dict[Way, int]

    def __contains__(self, name: str) -> bool:
        """Whether the table has the key."""
        return name in self.data

    def wrong(self, message: str, *name: str) -> InputError:
        """An error at the table's line, or at that of one of its keys."""
        line = line_of((*self.way, *name), self.lines)
        return InputError(f"{self.file}, line {line}: {message}")

    @contextlib.contextmanager
    def at(self, *name: str) -> Iterator[None]:
        """What is wrong inside is wrong at that key's line."""
        try:
            yield
        except InputError as error:
            raise self.wrong(str(error), *name) from error

    def only(self, known: Iterable[str], kind: str) -> Node:
        """The table itself, if it has no other keys.

        Raises:
            InputError: with the line, and the key that may have been meant.
        """
        known = list(known)
        for name in self.data:
            if name not in known:
                with self.at(name):
                    raise unknown_name(kind, name, known)
        return self

    def get(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """A value of a type, or the default where the key is not there."""
        value = self.data.get(name, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            words = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.wrong(f"{name} is {value!r}, not {words}", name)
        return value

    def all(self, name: str, kind: type, default: Iterable[Any] = ()) -> tuple[Any, ...]:
        """A list of values of a type; a single value is a list of one."""
        value = self.data.get(name, list(default))
        values = value if isinstance(value, list) else [value]
        for each in values:
            if not isinstance(each, kind) or (isinstance(each, bool) and kind is int):
                raise self.wrong(f"{name} has {each!r}, not {kind.__name__}", name)
        return tuple(values)

    def table(self, name: str) -> Node:
        """A table below this one; an empty one where it is not there."""
        return Node(self.get(name, dict, {}), (*self.way, name), self.file, self.lines)

    def tables(self, name: str) -> tuple[Node, ...]:
        """The tables of an array of tables, `[[name]]`."""
        found = self.get(name, list, [])
        if not all(isinstance(each, dict) for each in found):
            raise self.wrong(f"{name} is a list of tables, written [[{name}]]", name)
        ways = [(*self.way, name, index) for index in range(len(found))]
        return tuple(
            Node(data, way, self.file, self.lines) for data, way in zip(found, ways, strict=True)
        )


def read_tables(path: Path) -> Node:
    """The top of a TOML file.

    Raises:
        InputError: it cannot be read, or is not TOML; the line is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return Node(tomllib.loads(text), (), str(path), key_lines(text))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error


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
