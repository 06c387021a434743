"""sha256 and md5 of files, folders and arrays, cached by size and modification time.

The cache is one small JSON file per file or folder in the user's cache folder. If that cannot be
written, nothing is cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.root import cache_folder
from sdd_eval.errors import InputError
from sdd_eval.store import write_record

CHUNK = 1 << 20

#: Two changes of a file within so many seconds may get the same modification time.
CLOCK_STEP = 0.05


@dataclass(frozen=True)
class Digests:
    """Hexadecimal checksums of a file: md5, which publishers give, and sha256."""

    md5: str
    sha256: str


def file_digests(path: Path, *, fresh: bool = False) -> Digests:
    """Return both checksums of a file, cached unless `fresh`; raise InputError if unreadable."""
    cached = None if fresh else cached_file_digests(path)
    if cached is not None:
        return cached
    try:
        stamp = _file_stamp(path)
        _wait_out_clock_step(stamp[1])
        digests = _hash_file(path)
        unchanged = _file_stamp(path) == stamp
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if unchanged:
        _store(path, stamp, {"md5": digests.md5, "sha256": digests.sha256})
    return digests


def cached_file_digests(path: Path) -> Digests | None:
    """Return both checksums of a file from the cache, or None; the file is not read."""
    with contextlib.suppress(OSError, KeyError):
        entry = _lookup(path, _file_stamp(path))
        return Digests(entry["md5"], entry["sha256"])
    return None


def folder_fingerprint(folder: Path, files: Sequence[str], *, fresh: bool = False) -> str:
    """Return the sha256 over names and contents of files; raise InputError if one is unreadable."""
    cached = None if fresh else cached_folder_fingerprint(folder, files)
    if cached is not None:
        return cached
    try:
        stamp, newest = _folder_stamp(folder, files)
        _wait_out_clock_step(newest)
        content = _hash_folder(folder, files)
        unchanged = _folder_stamp(folder, files)[0] == stamp
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror or error}") from error
    if unchanged:
        _store(folder, stamp, {"sha256": content})
    return content


def cached_folder_fingerprint(folder: Path, files: Sequence[str]) -> str | None:
    """Return `folder_fingerprint` from the cache, or None; no file is read."""
    with contextlib.suppress(OSError, KeyError):
        stamp, _ = _folder_stamp(folder, files)
        return str(_lookup(folder, stamp)["sha256"])
    return None


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


def _hash_file(path: Path) -> Digests:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
    return Digests(md5.hexdigest(), sha256.hexdigest())


def _hash_folder(folder: Path, files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        content = (folder / name).read_bytes()
        # The lengths come first, so that different files cannot yield the same bytes.
        digest.update(f"{len(name.encode())} {len(content)} {name}".encode())
        digest.update(content)
    return digest.hexdigest()


def _file_stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _folder_stamp(folder: Path, files: Iterable[str]) -> tuple[str, int]:
    """Return the sha256 over names, sizes and times, and the newest time in nanoseconds."""
    digest, newest, base = hashlib.sha256(), 0, os.fspath(folder)
    for name in sorted(files):
        status = os.stat(f"{base}/{name}")
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        newest = max(newest, status.st_mtime_ns)
    return digest.hexdigest(), newest


def _wait_out_clock_step(changed_ns: int) -> None:
    """Wait until a further change would get another modification time."""
    age = time.time() - changed_ns / 1e9
    if 0 <= age < CLOCK_STEP:
        time.sleep(CLOCK_STEP - age)


def _entry(path: Path) -> Path:
    name = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:32]
    return cache_folder() / "fingerprints" / f"{name}.json"


def _store(path: Path, stamp: object, values: Mapping[str, str]) -> None:
    entry = {"path": os.path.realpath(path), "stamp": stamp, **values}
    with contextlib.suppress(InputError):  # without a cache, only time is lost
        write_record(_entry(path), entry)


def _lookup(path: Path, stamp: object) -> Mapping[str, str]:
    """Return the cache entry of a path if its stamp is unchanged, else an empty mapping."""
    with contextlib.suppress(OSError, ValueError):
        entry = json.loads(_entry(path).read_text(encoding="utf-8"))
        if isinstance(entry, dict) and entry.get("stamp") == stamp:
            return entry
    return {}
