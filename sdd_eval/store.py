"""Files that are whole or not there: atomic writing, locks, and runs on disk keyed by content."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.former_names import current_run
from sdd_eval.records import Recipe, Record, Run, decode, encode, with_present_names


class Busy(InputError):
    """Another process holds what this one needs; it will be free again."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a file beside `path`, flush it to the disk, and move it into place.

    Raises:
        InputError: the folder cannot be made or written, or the disk is full; `path` is as before.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if aside is not None:
            with contextlib.suppress(OSError):
                os.unlink(aside)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes the same way."""
    write_atomically(path, lambda file: file.write(content))


def write_record(path: Path, record: Any) -> None:
    """Write a record, or plain values, as indented JSON, atomically."""
    write_text(path, json.dumps(encode(record), indent=1, ensure_ascii=False) + "\n")


def read_record(path: Path, kind: type[Record]) -> Record:
    """Read a record that `write_record` wrote.

    Raises:
        InputError: the file is not there, not JSON, or not such a record.
    """
    try:
        data = json.loads(path.read_bytes().decode())
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    return decode(kind, data, str(path))


def key_of(parts: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the sha256 of plain values, whatever their order.

    >>> key_of({"b": 1, "a": (2, 3)}) == key_of({"a": [2, 3], "b": 1})
    True
    """
    text = json.dumps(encode(parts), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path, doing: str, *, wait: bool = False) -> Iterator[None]:
    """Hold `path` against other processes; the lock goes with the process, however it ends.

    Raises:
        Busy: another process holds it, and this one is not to wait.
    """
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
        # While it is still held: whoever waits on this file finds it gone and opens another.
        with contextlib.suppress(OSError):
            lock_path.unlink()
        lock.release()


def folder_name(kind: str, name: str) -> str:
    """A name that becomes a folder, if it cannot lead out of the one that it is for.

    Raises:
        InputError: it is empty, begins with a dot, or has a path in it.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise InputError(f"{kind} {name!r} is no plain name; it becomes one folder")
    return name


def write_run(path: Path, run: Run) -> None:
    """Write a run: its arrays first, so that a run that is there has them."""
    buffer = io.BytesIO()  # a zip that a full disk cuts short complains once more when it is freed
    np.savez_compressed(buffer, **dict(run.arrays))
    write_atomically(path.with_suffix(".npz"), lambda file: file.write(buffer.getbuffer()))
    write_record(path, run)


def read_run(path: Path) -> Run:
    """Read a run; its arrays are read from the disk when they are asked for.

    Raises:
        InputError: the file is not a run.
    """
    run = current_run(read_record(path, Run))
    if isinstance(recipe := run.provenance.get("card"), Mapping):
        provenance = {**run.provenance, "card": with_present_names(Recipe, recipe)}
        run = dataclasses.replace(run, provenance=provenance)
    object.__setattr__(run, "arrays", StoredArrays(path.with_suffix(".npz")))
    return run


def run_paths(study: Path) -> list[Path]:
    """The JSON files of all finished runs of a study folder, sorted."""
    return sorted((study / "runs").glob("*/*.json"))


class StoredArrays(Mapping[str, "np.ndarray[Any, Any]"]):
    """The arrays of a `.npz` file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Remember the path; nothing is read yet."""
        self.path = path

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                yield arrays
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"cannot read {self.path}: {error}") from error

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """One array."""
        with self._open() as file:
            array: np.ndarray[Any, Any] = file[name]
            return array

    def __iter__(self) -> Iterator[str]:
        """The names."""
        with self._open() as file:
            return iter(list(file.files))

    def __len__(self) -> int:
        """How many there are."""
        with self._open() as file:
            return len(file.files)
