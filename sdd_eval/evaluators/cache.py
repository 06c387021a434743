"""A cache of logits and features, shared by evaluations, in a folder of the user.

There is one file for each network, set of images and selection of rows. Files are written
atomically, and the least recently used ones are deleted if the folder becomes too large. A failed
write loses nothing but the cache entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet
from sdd_eval.data.root import cache_folder
from sdd_eval.device import device_and_threads, tf32_enabled
from sdd_eval.errors import InputError
from sdd_eval.records import ModelSpec, encode
from sdd_eval.store import StoredArrays, key_of, write_atomically

#: Incremented when the content of the files, or its computation, changes.
VERSION = 1
#: Default size limit of the folder in GB, see $SDD_EVAL_CACHE_GB.
DEFAULT_GB = 8.0
#: Fraction of the folder that one evaluation of many sets may use.
EVALUATION_SHARE = 1 / 8
#: Age in seconds after which the process that was writing an unfinished file must have ended.
ABANDONED = 86_400

Rows = NDArray[np.int64]


def outputs_folder(folder: str | None = None) -> Path | None:
    """Return the cache folder: the given one, `$SDD_EVAL_CACHE`, or the user's cache folder.

    None if it is "off".
    """
    path = folder or os.environ.get("SDD_EVAL_CACHE") or ""
    if path == "off":
        return None
    return Path(path).expanduser() if path else cache_folder() / "outputs"


def max_bytes() -> int:
    """Return the folder's size limit; raise InputError if $SDD_EVAL_CACHE_GB is no number."""
    size = os.environ.get("SDD_EVAL_CACHE_GB") or DEFAULT_GB
    with contextlib.suppress(ValueError):
        if 0 <= float(size) < float("inf"):
            return int(float(size) * 1e9)
    raise InputError(f"$SDD_EVAL_CACHE_GB is {size!r}, not a number of gigabytes")


@dataclass(frozen=True)
class OutputFiles:
    """The cached logits and features of a network."""

    folder: Path
    name: str
    """The name of the network in listings."""
    network: Mapping[str, Any]
    """What its outputs depend on: weights, spec, folding."""
    device: str = "cpu"
    hits: list[Mapping[str, Any]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    """The sets of images for which nothing was stored."""

    def lookup(
        self, images: ImageSet, rows: Rows, features: bool
    ) -> Mapping[str, NDArray[np.float32]] | None:
        """Return `logits`, and `features` if stored, of some rows; None if not stored.

        With `features`, features are required. A file may hold additional rows.
        """
        paths = self.folder.glob(f"{self._key(images)}.*.npz")
        for path in sorted(paths, key=lambda path: _size_and_time(path)[0], reverse=True):
            with contextlib.suppress(InputError, OSError, KeyError):  # damaged, or deleted by now
                arrays = _select_rows(StoredArrays(path), rows, features)
                if arrays is not None:
                    about = arrays.pop("about")
                    os.utime(path)
                    self.hits.append(json.loads(str(about)))
                    return arrays
        self.misses.append(images.name)
        return None

    def store(
        self, images: ImageSet, rows: Rows, arrays: Mapping[str, NDArray[np.float32]], batch: int
    ) -> None:
        """Store the outputs of some rows, computed in batches of this size."""
        if len(rows) > 1 and (np.diff(rows) <= 0).any():
            return  # only ascending rows can be looked up
        about = {
            "network": self.name,
            "images": images.name,
            "n": len(rows),
            **device_and_threads(self.device),
            "batch_size": batch,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        selection = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
        path = self.folder / f"{self._key(images)}.{selection}.npz"
        content: dict[str, Any] = {"about": np.array(json.dumps(about)), "rows": rows, **arrays}
        if sum(array.nbytes for array in content.values()) > max_bytes():
            return
        with contextlib.suppress(InputError):  # an unwritable folder only costs time
            write_atomically(path, lambda file: np.savez(file, **content))
            trim(self.folder, max_bytes(), path)

    def has_room(self, size: int) -> bool:
        """Return whether one evaluation may store this many bytes."""
        return size <= max_bytes() * EVALUATION_SHARE

    def _key(self, images: ImageSet) -> str:
        """Return the key of everything that the outputs depend on, except the rows."""
        import torch

        parts = {
            "version": VERSION,
            "network": self.network,
            "images": images.fingerprint,
            "shape": (images.channels, images.image_size, getattr(images, "resize", None)),
            "device": self.device.split(":")[0],
            "tf32": tf32_enabled(self.device),
            "torch": torch.__version__,
        }
        return key_of(parts)


def network_parts(weights: str, spec: ModelSpec, folded: int) -> dict[str, Any]:
    """Return what a network's outputs depend on, except its code."""
    return {"weights": weights, "model": encode(spec), "folded": folded}


@dataclass(frozen=True)
class Entry:
    """A file of the cache."""

    network: str
    images: str
    n: int
    size: int
    used: datetime


def entries(folder: Path) -> list[Entry]:
    """Return the files of a folder, least recently used first; a damaged file has no names."""
    files = []
    for path in folder.glob("*.npz"):
        with contextlib.suppress(OSError):
            status, about = path.stat(), {}
            with contextlib.suppress(InputError, KeyError, ValueError):
                about = json.loads(str(StoredArrays(path)["about"]))
            used = datetime.fromtimestamp(status.st_mtime)
            names = (str(about.get("network", "")), str(about.get("images", "")))
            files.append(Entry(*names, int(about.get("n", 0)), status.st_size, used))
    return sorted(files, key=lambda entry: entry.used)


def trim(folder: Path, limit: int, newest: Path | None = None) -> int:
    """Delete the least recently used files until at most `limit` bytes are left.

    `newest` is never deleted. Return the number of deleted bytes.
    """
    files = {path: _size_and_time(path) for path in folder.glob("*.npz")}
    excess, deleted = sum(size for size, _ in files.values()) - limit, 0
    for path, (size, _) in sorted(files.items(), key=lambda item: item[1][1]):
        if deleted >= excess:
            break
        if path != newest:
            with contextlib.suppress(OSError):
                path.unlink()
                deleted += size
    for path in folder.glob(".*.part"):
        if limit == 0 or _size_and_time(path)[1] < time.time() - ABANDONED:
            with contextlib.suppress(OSError):
                path.unlink()
    return deleted


def _size_and_time(path: Path) -> tuple[int, float]:
    try:
        status = path.stat()
    except OSError:  # another process has deleted it
        return 0, 0.0
    return status.st_size, status.st_mtime


def _select_rows(
    stored: StoredArrays, rows: Rows, features: bool
) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of some rows, and `about`; None if a row or the features are missing."""
    names = set(stored)
    if features and "features" not in names:
        return None
    known = stored["rows"]
    index = np.searchsorted(known, rows)
    if len(rows) > len(known) or (index >= len(known)).any() or (known[index] != rows).any():
        return None
    arrays: dict[str, NDArray[Any]] = {"about": stored["about"]}
    for name in (name for name in ("logits", "features") if name in names):
        arrays[name] = stored[name] if len(rows) == len(known) else stored[name][index]
    return arrays
