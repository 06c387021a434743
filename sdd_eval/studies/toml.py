"""Tables of a TOML file that know their lines, so that errors can name them."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The keys from the top of a file to a value, with the index in an array of tables, e.g.
#: ("train", 1, "method").
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Table:
    """A table: its values, its key path, and the file with the lines of its keys."""

    values: Mapping[str, Any]
    path: KeyPath
    file: str
    lines: Mapping[KeyPath, int]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, message: str, *key: str) -> InputError:
        """Return an error at the line of the table or of one of its keys."""
        line = line_of((*self.path, *key), self.lines)
        return InputError(f"{self.file}, line {line}: {message}")

    @contextlib.contextmanager
    def errors_at(self, *key: str) -> Iterator[None]:
        """Add the line of the table or of a key to the errors that the block raises."""
        try:
            yield
        except InputError as error:
            raise self.error(str(error), *key) from error

    def require_keys(self, known: Iterable[str], kind: str) -> Table:
        """Return the table; raise InputError, with line and similar key, if it has other keys."""
        known = list(known)
        for key in self.values:
            if key not in known:
                with self.errors_at(key):
                    raise unknown_name(kind, key, known)
        return self

    def with_present_keys(self, names: Mapping[str, str]) -> Table:
        """Return the table with renamed keys (former → present `names`); warn of former names."""
        former = [key for key in self.values if key in names]
        for key in former:
            message = self.error(f"{key} is now called {names[key]}; rename it", key)
            warnings.warn(str(message), DeprecationWarning, stacklevel=2)
        values = {names.get(key, key): value for key, value in self.values.items()}
        path = self.path
        lines = {(*path, names[key]): line_of((*path, key), self.lines) for key in former}
        return replace(self, values=values, lines={**self.lines, **lines})

    def get(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Return a value of a type, or the default if there is no such key."""
        value = self.values.get(key, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            words = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.error(f"{key} is {value!r}, not {words}", key)
        return value

    def get_list(self, key: str, kind: type, default: Iterable[Any] = ()) -> tuple[Any, ...]:
        """Return a list of values of a type; a single value is a list of one."""
        value = self.values.get(key, list(default))
        items = value if isinstance(value, list) else [value]
        for item in items:
            if not isinstance(item, kind) or (isinstance(item, bool) and kind is int):
                raise self.error(f"{key} has {item!r}, not {kind.__name__}", key)
        return tuple(items)

    def table(self, key: str) -> Table:
        """Return a table in this one; an empty one if there is no such key."""
        return Table(self.get(key, dict, {}), (*self.path, key), self.file, self.lines)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the tables of an array of tables, `[[key]]`."""
        items = self.get(key, list, [])
        if not all(isinstance(item, dict) for item in items):
            raise self.error(f"{key} is a list of tables, written [[{key}]]", key)
        return tuple(
            Table(values, (*self.path, key, index), self.file, self.lines)
            for index, values in enumerate(items)
        )


def read_toml(path: Path) -> Table:
    """Read the top table of a TOML file; raise InputError, with the line, if it is not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        return Table(tomllib.loads(text), (), str(path), key_lines(text))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]|.')


def key_lines(text: str) -> dict[KeyPath, int]:
    r"""Return the line, from 1, of every table and key of a valid TOML document.

    >>> key_lines('seeds = [0]\\n[[train]]\\nmethod = "ce"')
    {('seeds',): 1, ('train', 0): 2, ('train', 0, 'method'): 3}
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in _statements(text):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _table_path(header[1] == "[[", _parts(header[2]), lines)
            lines.setdefault(table, number)
        elif key:
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """Return the line of a key, or of the nearest table or key above it that has one; else 1.

    The line of an array of tables is that of its first table.

    >>> line_of(("train",), {("seeds",): 1, ("train", 0): 2, ("train", 1): 5})
    2
    """
    for end in range(len(path), 0, -1):
        for candidate in (path[:end], (*path[:end], 0)):
            if candidate in lines:
                return lines[candidate]
    return 1


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _table_path(array: bool, parts: KeyPath, lines: Mapping[KeyPath, int]) -> KeyPath:
    """Return the key path of a header; the name of an array of tables means its last table."""
    path: KeyPath = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        last = index == len(parts) - 1
        count = sum(1 for each in lines if each[:-1] == path and isinstance(each[-1], int))
        if last and array:
            path = (*path, count)
        elif count:
            path = (*path, count - 1)
    return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
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
