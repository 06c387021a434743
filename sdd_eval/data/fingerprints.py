"""sha256 and md5 of files, folders and arrays, cached by size and modification time.

The cache consists of one small JSON file per file or folder in the user's cache folder. If that
cannot be written, nothing is cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.files import regular_status
from sdd_eval.data.root import cache_folder
from sdd_eval.errors import InputError
from sdd_eval.store import write_record

CHUNK = 1 << 20

#: Two changes of a file within this many seconds may get the same modification time.
CLOCK_STEP = 0.05


@dataclass(frozen=True)
class Digests:
    """Hexadecimal checksums of a file: md5, which publishers give, and sha256."""

    md5: str
    sha256: str


def file_digests(path: Path, *, fresh: bool = False) -> Digests:
    """Return both checksums of a file, cached unless `fresh`; raise InputError if unreadable."""
    return Digests(**_hashed(path, lambda: _file_stamp(path), lambda: _hash_file(path), fresh))


def cached_file_digests(path: Path) -> Digests | None:
    """Return both checksums of a file from the cache, or None; the file is not read."""
    entry = _cached(path, lambda: _file_stamp(path))
    return Digests(**entry) if entry else None


def folder_fingerprint(folder: Path, files: Sequence[str], *, fresh: bool = False) -> str:
    """Return the sha256 over names and contents of files; raise InputError if one is unreadable."""
    return _hashed(
        folder, lambda: _folder_stamp(folder, files), lambda: _hash_folder(folder, files), fresh
    )["sha256"]


def cached_folder_fingerprint(folder: Path, files: Sequence[str]) -> str | None:
    """Return `folder_fingerprint` from the cache, or None; no file is read."""
    return _cached(folder, lambda: _folder_stamp(folder, files)).get("sha256")


def array_fingerprint(*arrays: NDArray[Any] | None) -> str:
    """Return the sha256 over type, shape and content of arrays; None is allowed."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none;")
            continue
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def value_fingerprint(*parts: object) -> str:
    """Return the sha256 over the JSON of plain values, e.g. other fingerprints."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


#: The state of files, used to detect changes, and the newest modification time in ns.
Stamp = tuple[Any, int]


def _hashed(
    path: Path, stamp: Callable[[], Stamp], compute: Callable[[], dict[str, str]], fresh: bool
) -> dict[str, str]:
    """Return the cached checksums, or compute and cache them."""
    if not fresh and (cached := _cached(path, stamp)):
        return cached
    try:
        before, newest = stamp()
        _wait_out_clock_step(newest)
        checksums = compute()
        unchanged = stamp()[0] == before
    except OSError as error:
        name = error.filename or path
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    if unchanged:
        name = os.fsencode(os.path.realpath(path)).decode("utf-8", "replace")
        record = {"path": name, "stamp": before, **checksums}
        with contextlib.suppress(InputError):  # a missing cache only costs time
            write_record(_entry(path), record)
    return checksums


def _cached(path: Path, stamp: Callable[[], Stamp]) -> dict[str, str]:
    """Return the cached checksums of a path if its stamp is unchanged, else an empty mapping."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        entry = json.loads(_entry(path).read_text(encoding="utf-8"))
        if isinstance(entry, dict) and "sha256" in entry and entry.pop("stamp", None) == stamp()[0]:
            return {kind: entry[kind] for kind in ("md5", "sha256") if kind in entry}
    return {}


def _entry(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    return cache_folder() / "fingerprints" / f"{name}.json"


def _hash_file(path: Path) -> dict[str, str]:
    digests = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def _hash_folder(folder: Path, files: Iterable[str]) -> dict[str, str]:
    digest = hashlib.sha256()
    for name in sorted(files):
        content = (folder / name).read_bytes()
        encoded = os.fsencode(name)
        # The lengths come first, so that different files cannot yield the same bytes.
        digest.update(f"{len(encoded)} {len(content)} ".encode() + encoded)
        digest.update(content)
    return {"sha256": digest.hexdigest()}


def _file_stamp(path: Path) -> Stamp:
    status = regular_status(path)
    return [status.st_size, status.st_mtime_ns], status.st_mtime_ns


def _folder_stamp(folder: Path, files: Iterable[str]) -> Stamp:
    """Return the sha256 over names, sizes and times, and the newest time."""
    digest, newest, base = hashlib.sha256(), 0, os.fspath(folder)
    for name in sorted(files):
        status = regular_status(f"{base}/{name}")
        digest.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"))
        newest = max(newest, status.st_mtime_ns)
    return digest.hexdigest(), newest


def _wait_out_clock_step(changed_ns: int) -> None:
    """Wait until a further change would get a different modification time."""
    age = time.time() - changed_ns / 1e9
    if 0 <= age < CLOCK_STEP:
        time.sleep(CLOCK_STEP - age)
