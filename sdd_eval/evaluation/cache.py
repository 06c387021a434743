"""What networks made of images, kept between evaluations: logits and features, once computed.

One file for each network, set of images and choice of its rows, below a folder of the user's.
A file is whole or not there, whoever writes beside; the least recently used go where all together
are too large; and where nothing can be written nothing is kept, and nothing else changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet
from sdd_eval.data.root import cache_folder
from sdd_eval.errors import InputError
from sdd_eval.evaluation.environment import device_and_threads
from sdd_eval.records import ModelSpec, encode
from sdd_eval.store import StoredArrays, key_of, write_atomically

#: Raised when what lies in the files, or how it is computed, is no longer what it was.
VERSION = 1
#: What the folder may hold, in GB, where $SDD_EVAL_CACHE_GB does not say otherwise.
USUAL_GB = 8.0
#: Of the folder, what one evaluation of many sets may take.
SHARE_OF_ONE = 1 / 8
#: A file that is being written for longer than this was left by a process that is gone (seconds).
ABANDONED = 86_400

Rows = NDArray[np.int64]


def outputs_folder(said: str | None = None) -> Path | None:
    """Where it all lies: as said, else as `$SDD_EVAL_CACHE` says, else in the user's cache folder.

    None where either says "off".
    """
    place = said or os.environ.get("SDD_EVAL_CACHE") or ""
    if place == "off":
        return None
    return Path(place).expanduser() if place else cache_folder() / "outputs"


def most_bytes() -> int:
    """How much the folder may hold.

    Raises:
        InputError: `$SDD_EVAL_CACHE_GB` is no number of gigabytes.
    """
    said = os.environ.get("SDD_EVAL_CACHE_GB") or USUAL_GB
    with contextlib.suppress(ValueError):
        if 0 <= float(said) < float("inf"):
            return int(float(said) * 1e9)
    raise InputError(f"$SDD_EVAL_CACHE_GB is {said!r}, not a number of gigabytes")


@dataclass(frozen=True)
class Outputs:
    """A network's logits and features: the `Memory` of its evaluations."""

    folder: Path
    name: str
    """What the network is called where its files are listed."""
    network: Mapping[str, Any]
    """What determines its numbers: weights, spec, folding."""
    device: str = "cpu"
    recalled: list[Mapping[str, Any]] = field(default_factory=list)

    def recall(
        self, images: ImageSet, rows: Rows, features: bool
    ) -> Mapping[str, NDArray[np.float32]] | None:
        """`logits` and perhaps `features` (as asked, always) of some rows of a set, if known.

        Any file will do that has these rows among others.
        """
        for path in sorted(
            self.folder.glob(f"{self._key(images)}.*.npz"), key=_size_of, reverse=True
        ):
            with contextlib.suppress(InputError, OSError, KeyError):  # damaged, or gone by now
                found = _rows_of(StoredArrays(path), rows, features)
                if found is not None:
                    about = found.pop("about")
                    os.utime(path)
                    self.recalled.append(json.loads(str(about)))
                    return found
        return None

    def keep(
        self, images: ImageSet, rows: Rows, found: Mapping[str, NDArray[np.float32]], batch: int
    ) -> None:
        """Remember what the network made of some rows, so many a batch."""
        if len(rows) > 1 and (np.diff(rows) <= 0).any():
            return  # only what ascends is found again
        about = {
            "network": self.name,
            "images": images.name,
            "n": len(rows),
            **device_and_threads(self.device),
            "batch_size": batch,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        chosen = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
        path = self.folder / f"{self._key(images)}.{chosen}.npz"
        arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), "rows": rows, **found}
        if sum(each.nbytes for each in arrays.values()) > most_bytes():
            return
        with contextlib.suppress(InputError):  # a folder that cannot be written costs time only
            write_atomically(path, lambda file: np.savez(file, **arrays))
            trim(self.folder, most_bytes(), path)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes of one evaluation leave enough for all others."""
        return size <= most_bytes() * SHARE_OF_ONE

    def _key(self, images: ImageSet) -> str:
        """Of all that determines the numbers but the choice of rows."""
        import torch

        from sdd_eval.device import tf32_enabled

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
    """What determines a network's numbers, as far as it can be told apart by a key."""
    return {"weights": weights, "model": encode(spec), "folded": folded}


@dataclass(frozen=True)
class Entry:
    """One file: of which network and images it is, its size, and when it was used last."""

    network: str
    images: str
    n: int
    size: int
    used: datetime


def entries(folder: Path) -> list[Entry]:
    """All files of a folder, least recently used first; a damaged one has no name."""
    found = []
    for path in _files(folder):
        with contextlib.suppress(OSError):
            status, about = path.stat(), {}
            with contextlib.suppress(InputError, KeyError, ValueError):
                about = json.loads(str(StoredArrays(path)["about"]))
            used = datetime.fromtimestamp(status.st_mtime)
            named = (str(about.get("network", "")), str(about.get("images", "")))
            found.append(Entry(*named, int(about.get("n", 0)), status.st_size, used))
    return sorted(found, key=lambda each: each.used)


def trim(folder: Path, most: int, newest: Path | None = None) -> int:
    """Delete the least recently used files until no more than `most` bytes are left.

    `newest` stays in any case. Returns how many bytes went.
    """
    sizes = {path: _size_of(path) for path in sorted(_files(folder), key=_used)}
    over, gone = sum(sizes.values()) - most, 0
    for path, size in sizes.items():
        if gone >= over:
            break
        if path != newest:
            with contextlib.suppress(OSError):
                path.unlink()
                gone += size
    for path in folder.glob(".*.part"):
        if most == 0 or _used(path) < time.time() - ABANDONED:
            with contextlib.suppress(OSError):
                path.unlink()
    return gone


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("*.npz")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # another process has deleted it
        return 0


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _rows_of(stored: StoredArrays, rows: Rows, features: bool) -> dict[str, NDArray[Any]] | None:
    """The arrays of some rows, and `about`; None where a row or the features are missing."""
    names = set(stored)
    if features and "features" not in names:
        return None
    there = stored["rows"]
    place = np.searchsorted(there, rows)
    if len(rows) > len(there) or (place >= len(there)).any() or (there[place] != rows).any():
        return None
    same = len(rows) == len(there)
    kept = [name for name in ("logits", "features") if name in names]
    found: dict[str, NDArray[Any]] = {"about": stored["about"]}
    for name in kept:
        found[name] = stored[name] if same else stored[name][place]
    return found
