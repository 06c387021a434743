"""TOML files whose errors name the line of a key."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The keys from the top of a file to a value, with the index in an array of tables, e.g.
#: ("train", 1, "method").
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Location:
    """A table or a key of a file, whose errors begin with the file and the line.

    `renamed` are the key paths in the file of keys that were read under another name.
    """

    file: str
    text: str
    path: KeyPath = ()
    renamed: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def at(self, key: str | int) -> Location:
        """Return the location of a key, or of a table of an array of tables."""
        return replace(self, path=(*self.path, key))

    def error(self, message: str, *key: str | int) -> InputError:
        """Return an error at the line of the table or of one of its keys."""
        path = (*self.path, *key)
        line = line_of(self.renamed.get(path, path), self.text)
        return InputError(f"{self.file}, line {line}: {message}")

    @contextlib.contextmanager
    def errors_at(self, *key: str | int) -> Iterator[None]:
        """Add the line of the table or of a key to the errors that the block raises."""
        try:
            yield
        except InputError as error:
            raise self.error(str(error), *key) from error

    @contextlib.contextmanager
    def errors_in(
        self,
        values: Mapping[str, Any],
        *default: str | int,
        shared: tuple[Location, Mapping[str, Any]] | None = None,
    ) -> Iterator[None]:
        """Add the line of the key that an error mentions, or whose value it mentions.

        `values` are those of the table and of tables in it, `shared` those of a table that these
        complete. Errors that name none get the line of the table, or of the `default` key.
        """
        try:
            yield
        except InputError as error:
            for location, table in filter(None, [(self, values), shared]):
                named = list(_named(str(error), table))
                if named:
                    raise location.error(str(error), *min(named)[-1]) from error
            raise self.error(str(error), *default) from error


def _named(error: str, values: Mapping[str, Any]) -> Iterator[tuple[bool, int, KeyPath]]:
    """Yield the place where an error names a key or a word of its value, and the key's path.

    The first element is False if the error continues there with "is" or "has".

    >>> list(_named("unknown attack 'PGDD'", {"limit": 3, "settings": {"name": "PGDD"}}))
    [(True, 16, ('settings', 'name'))]
    >>> min(_named("method ls: smoothing is 2", {"method": "ls", "smoothing": 2}))
    (False, 11, ('smoothing',))
    """
    error = error.replace("-", "_")
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ((later, at, (key, *path)) for later, at, path in _named(error, value))
            continue
        items = value if isinstance(value, list | tuple) else [value]
        texts = [word for item in items if isinstance(item, str) for word in item.split("=")]
        words = [text.replace("-", "_") for text in (key.removesuffix("s"), *texts) if text]
        pattern = "|".join(map(re.escape, words))
        match = re.search(rf"(?<![^\W_])({pattern})s?(?!\w)( is | has )?", error)
        if match:
            yield match[2] is None, match.start(1), (key,)


def read_toml(path: Path) -> tuple[dict[str, Any], Location]:
    """Read a TOML file; raise InputError if it is not TOML."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text), Location(str(path), text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error


def line_of(path: KeyPath, text: str) -> int:
    r"""Return the line, from 1, of a key of a valid TOML document, or of the nearest table above.

    >>> line_of(("train", 0, "method"), 'seeds = [0]\n[[train]]\nmethod = "ce"')
    3
    """
    for end in range(len(path), 0, -1):
        for line, values in _prefixes(text):
            if _has(values, path[:end]):
                return line
    return 1


@functools.lru_cache(maxsize=4)
def _prefixes(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the first line of each statement, and the document's content up to its last line."""
    lines = text.split("\n")
    prefixes, line = [], 1
    for end in range(1, len(lines) + 1):
        with contextlib.suppress(tomllib.TOMLDecodeError):  # within a multi-line value
            prefixes.append((line, tomllib.loads("\n".join(lines[:end]))))
            line = end + 1
    return prefixes


def _has(values: Any, path: KeyPath) -> bool:
    """Return whether nested tables and arrays have a value at a path."""
    for key in path:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
