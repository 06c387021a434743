"""Atomic file writing, locks, and runs on disk keyed by their content."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import secrets
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from sdd_eval.arrays import Array, Arrays, as_numpy
from sdd_eval.errors import InputError, one_line
from sdd_eval.former_arrays import structured
from sdd_eval.former_names import current_run
from sdd_eval.records import Recipe, Record, Run, decode, encode, with_present_names
from sdd_eval.run_validity import invalid
from sdd_eval.type_errors import shown

if TYPE_CHECKING:
    import numpy as np


class Busy(InputError):
    """Another process holds a lock that this one needs; retrying later may succeed."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file in the same folder, flush it to disk and rename it to `path`.

    Raises:
        InputError: the folder cannot be created or written to, or the disk is full; `path` is then
            unchanged.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        with temporary.open("xb") as file:  # with the permissions of the user's umask
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically."""
    write_atomically(path, lambda file: file.write(content))


def write_record(path: Path, record: Any) -> None:
    """Write a record, or plain values, as indented JSON, atomically.

    Raises:
        InputError: a number is NaN or infinite, or the file cannot be written.
    """
    write_text(path, _as_json(path, record))


def update_record(path: Path, record: Any) -> None:
    """Write a record like `write_record`, unless the file already contains it.

    Raises:
        InputError: a number is NaN or infinite, or the file cannot be written.
    """
    text = _as_json(path, record)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _as_json(path: Path, record: Any) -> str:
    try:
        text = json.dumps(encode(record), indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: a number is NaN or infinite") from error
    return text + "\n"


def read_record(path: Path, kind: type[Record]) -> Record:
    """Read a record written by `write_record`.

    Raises:
        InputError: the file is missing, is not such a record, or has an unknown format.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        data = msgspec.json.decode(path.read_bytes())
        _check_format(path, kind, data)
        return decode(kind, data, str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"{path} is not JSON: {one_line(error)}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply") from error


def _check_format(path: Path, kind: Any, data: Any) -> None:
    """Raise InputError for a record with an unknown format, as its fields may mean anything."""
    newest: Any = next((f.default for f in dataclasses.fields(kind) if f.name == "format"), None)
    if newest is None or not isinstance(data, Mapping):
        return
    version = data.get("format", 1)
    if type(version) is not int or not 1 <= version <= newest:
        known = " or ".join(map(str, range(1, newest + 1)))
        raise InputError(f"{path} has format {shown(version)}; this version reads format {known}")


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 of plain values, independent of key order.

    >>> key_of({"b": 1, "a": (2, 3)}) == key_of({"a": [2, 3], "b": 1})
    True
    """
    text = json.dumps(encode(parts), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path, doing: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock on a file or folder; it is released when the process ends for whatever reason.

    `doing` is what the holder is doing, such as "training", for the error message.

    Raises:
        Busy: another process holds the lock and `wait` is false.
    """
    import filelock  # slow to import, and `--help` needs no lock

    lock_path = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(lock_path, timeout=-1 if wait else 0)
        lock.acquire()
    except filelock.Timeout as error:
        raise Busy(f"another process is {doing} {path}; wait for it or stop it") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        # Unlink while holding the lock: a waiting process finds the file gone and opens another.
        with contextlib.suppress(OSError):
            lock_path.unlink()
        lock.release()


def folder_name(kind: str, name: str) -> str:
    """Return a folder name; raise InputError if it is empty, hidden or contains a path."""
    if not name or name.startswith(".") or Path(name).name != name:
        raise InputError(f"{kind} {name!r} is not a valid name: no '/' and no leading '.'")
    return name


def require_writable_run(path: Path) -> None:
    """Raise InputError if a folder exists where a run or its arrays are to be written."""
    for file in (path, path.with_suffix(".npz")):
        if file.is_dir():
            raise InputError(f"cannot write {file}: it is a folder; move it away")


def write_run(path: Path, run: Run) -> None:
    """Write a run, its arrays first, so that a run on disk always has its arrays."""
    write_arrays(path.with_suffix(".npz"), run.arrays)
    write_record(path, run)


def read_run(path: Path) -> Run:
    """Read a run; its arrays are loaded from disk on access.

    Raises:
        InputError: the file is not a run, has an unknown format, or contains invalid numbers: NaN,
            infinite values or negative counts.
    """
    run = read_record(path, Run)
    if problem := invalid(run):
        raise InputError(f"{path} has {problem}; delete the file and run the evaluation again")
    run = current_run(run)
    if recipe := run.provenance.recipe:
        present = with_present_names(Recipe, recipe)
        provenance = msgspec.structs.replace(run.provenance, recipe=present)
        run = dataclasses.replace(run, provenance=provenance)
    object.__setattr__(run, "arrays", StoredArrays(path.with_suffix(".npz"), run.evaluator))
    return run


def require_whole_arrays(path: Path) -> None:
    """Raise InputError if a run's arrays exist but are truncated; much faster than reading them.

    The directory of a zip file is at its end.
    """
    arrays = path.with_suffix(".npz")
    if arrays.exists() and not zipfile.is_zipfile(arrays):
        raise InputError(f"cannot read {arrays}: it is incomplete")


class DamagedFile(UserWarning):
    """A file that cannot be read and is skipped."""


def warn_of_damage(error: InputError, outcome: str = "it is left out") -> None:
    """Warn about an unreadable file, which the error names, and say how it is handled."""
    warnings.warn(f"{error}; {outcome}", DamagedFile, stacklevel=2)


def readable_runs(paths: Iterable[Path]) -> Iterator[tuple[Path, Run]]:
    """Yield the runs in files with their paths, and warn about unreadable ones."""
    for path in paths:
        try:
            yield path, read_run(path)
        except InputError as error:
            warn_of_damage(error)


def run_paths(study: Path) -> list[Path]:
    """Return the sorted JSON files of all finished runs in a study's folder."""
    return sorted((study / "runs").glob("*/*.json"))


#: The member of an `.npz` file with the facts, and names, axes, coordinates and labels of all
#: others.
INDEX = "index.json"


def write_arrays(path: Path, arrays: Arrays, *, compressed: bool = True) -> None:
    """Write arrays to one `.npz` file: numbered members, and a JSON index of them."""
    import numpy as np  # slow to import, and `--help` needs no arrays

    entries = [
        {"name": entry.name, "axes": entry.axes, "at": entry.at, "labels": entry.labels}
        for entry in arrays.entries
    ]
    index = json.dumps({"arrays": encode(entries), "facts": arrays.facts}, ensure_ascii=False)
    members = {str(i): as_numpy(entry.read()) for i, entry in enumerate(arrays.entries)}
    buffer = io.BytesIO()  # a zip file truncated by a full disk raises again on closing
    save: Any = np.savez_compressed if compressed else np.savez
    save(buffer, **members, **{INDEX: np.array(index)})
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


class _IndexEntry(msgspec.Struct):
    """The description of an array in a file of arrays."""

    name: str
    axes: tuple[str, ...]
    at: dict[str, Any]
    labels: dict[str, Any]


class _Index(msgspec.Struct):
    """The content of `INDEX`."""

    arrays: list[_IndexEntry]
    facts: dict[str, Any]


class StoredArrays(Arrays):
    """The arrays of an `.npz` file, each read on access; earlier versions' arrays get new names."""

    def __init__(self, path: Path, evaluator: str = "") -> None:
        super().__init__()
        self.path, self.evaluator = path, evaluator

    @property
    def entries(self) -> tuple[Array, ...]:
        """All arrays; InputError if the file is missing or damaged."""
        return self._index.entries

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts; InputError as for `entries`."""
        return self._index.facts

    @functools.cached_property
    def _index(self) -> Arrays:
        with self._open() as file:
            if INDEX not in file.files:
                former = {name: functools.partial(self._read, name) for name in file.files}
                return structured(self.evaluator, former)
            index = msgspec.json.decode(file[INDEX].item(), type=_Index)
            return Arrays(map(self._entry, itertools.count(), index.arrays), **index.facts)

    def _entry(self, number: int, entry: _IndexEntry) -> Array:
        read = functools.partial(self._read, str(number), len(entry.axes))
        return Array(entry.name, read, entry.axes, entry.at, entry.labels)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        import numpy as np

        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                yield arrays
        except InputError:
            raise
        except Exception as error:  # a damaged file may raise anything
            raise InputError(f"cannot read {self.path}: {one_line(error)}") from error

    def _read(self, member: str, axes: int = 0) -> np.ndarray[Any, Any]:
        """Read an array; InputError if axes are named but their number does not match."""
        with self._open() as file:
            array: np.ndarray[Any, Any] = file[member]
        if axes and array.ndim != axes:
            raise InputError(f"{self.path} is damaged: an array of {axes} axes has {array.ndim}")
        return array
