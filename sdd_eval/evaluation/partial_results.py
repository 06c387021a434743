"""What a run that is not finished has found so far, so that an interruption costs seconds only.

Pieces lie in a hidden folder beside where the run will be, and go when it is there. They are
written together every few seconds: where all is done sooner nothing is written, and nothing waits.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.evaluation.environment import versions
from sdd_eval.evaluation.request import Request
from sdd_eval.store import StoredArrays, key_of, write_atomically

#: Work of so many seconds may be lost, and that of the piece that is being made.
SECONDS = 5.0

Found = Mapping[str, Any]


class Pieces:
    """The pieces of one run; they are another's where batches, kind of device or versions are.

    Threads do not tell them apart: they change the last digits of a float32 and nothing else.
    """

    def __init__(self, run: Path, request: Request) -> None:
        """Read those that an interrupted run left; a damaged file is made again."""
        self.folder = _folder(run)
        parts = {
            "batch_size": request.batch_size,
            "device": request.device.split(":")[0],
            "versions": versions(),
        }
        self.key = key_of(parts)
        self.resumed, self.seconds = 0, 0.0
        self._known: dict[str, Found] = {}
        self._new: dict[str, Found] = {}
        self._asked: set[str] = set()
        for path in sorted(self.folder.glob(f"{self.key}.*.npz")):
            self._read(path)
        self._written = time.perf_counter()

    def kept(self, name: str, compute: Callable[[], Found]) -> Found:
        """What `compute` gives, or gave before an interruption.

        Raises:
            ValueError: there was another piece of this name.
        """
        if name in self._asked:
            raise ValueError(f"there are two pieces named {name!r}")
        self._asked.add(name)
        if name in self._known:
            self.resumed += 1
            return self._known.pop(name)
        found = self._new[name] = compute()
        if time.perf_counter() - self._written >= SECONDS:
            self._write()
        return found

    def _write(self) -> None:
        """One file of all that is new."""
        now = time.perf_counter()
        arrays: dict[str, Any] = {
            "names": np.array(list(self._new)),
            "seconds": np.array(now - self._written),
        }
        for index, found in enumerate(self._new.values()):
            arrays |= {f"{index}.{name}": _array(values) for name, values in found.items()}
        path = self.folder / f"{self.key}.{time.time_ns()}.npz"
        write_atomically(path, lambda file: np.savez(file, **arrays))
        self._new, self._written = {}, now

    def _read(self, path: Path) -> None:
        """All of a file, or nothing."""
        try:
            arrays = dict(StoredArrays(path))
            names = arrays.pop("names").tolist()
            seconds = float(arrays.pop("seconds"))
        except (InputError, KeyError):
            return
        found: list[dict[str, Any]] = [{} for _ in names]
        for called, values in arrays.items():
            index, _, name = called.partition(".")
            found[int(index)][name] = values
        self._known |= dict(zip(names, found, strict=True))
        self.seconds += seconds


def forget(run: Path) -> None:
    """Delete the pieces of a run, which is there."""
    shutil.rmtree(_folder(run), ignore_errors=True)


def _folder(run: Path) -> Path:
    return run.with_name(f".{run.stem}.pieces")


def _array(values: Any) -> Any:
    """An array, or what a tensor holds on whatever device."""
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)
