"""Partial results of an unfinished run, so that an interruption loses only seconds of work.

They are stored in a hidden folder next to the run, and deleted when the run is stored. They are
written together every few seconds, so a short evaluation writes nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluation.environment import versions
from sdd_eval.evaluation.request import Request
from sdd_eval.store import StoredArrays, key_of, write_arrays

#: Seconds between writes.
SECONDS = 5.0


class PartialResultFiles:
    """The stored results of one run with the same batch size, kind of device and versions.

    The number of threads may differ: it only affects rounding.
    """

    def __init__(self, run: Path, request: Request) -> None:
        self.folder = _folder(run)
        device, size = request.device.split(":")[0], request.batch_size
        self.key = key_of({"batch_size": size, "device": device, "versions": versions()})
        self.resumed, self.seconds = 0, 0.0
        self._known: dict[str, Arrays] = {}
        self._new: dict[str, Arrays] = {}
        self._names: set[str] = set()
        for path in sorted(self.folder.glob(f"{self.key}.*.npz")):
            self._read(path)
        self._written = time.perf_counter()

    def stored(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """Return the stored result of a name, or call `compute`; ValueError for a repeated name."""
        if name in self._names:
            raise ValueError(f"two partial results are named {name!r}")
        self._names.add(name)
        if name in self._known:
            self.resumed += 1
            return self._known.pop(name)
        result = self._new[name] = Arrays.of(compute())
        if time.perf_counter() - self._written >= SECONDS:
            self._write()
        return result

    def _write(self) -> None:
        now = time.perf_counter()
        entries = (
            entry for name, part in self._new.items() for entry in part.at(part=name).entries
        )
        path = self.folder / f"{self.key}.{time.time_ns()}.npz"
        facts = {name: part.facts for name, part in self._new.items()}
        arrays = Arrays(entries, seconds=now - self._written, parts=facts)
        write_arrays(path, arrays, compressed=False)
        self._new, self._written = {}, now

    def _read(self, path: Path) -> None:
        try:
            stored = StoredArrays(path)
            whole = Arrays(replace(entry, values=entry.read()) for entry in stored.entries)
            self.seconds += stored.facts["seconds"]
        except (InputError, KeyError):
            return
        for name, facts in stored.facts["parts"].items():
            self._known[name] = Arrays(whole.where(part=name).entries, **facts)


def delete(run: Path) -> None:
    """Delete the partial results of a stored run."""
    shutil.rmtree(_folder(run), ignore_errors=True)


def _folder(run: Path) -> Path:
    return run.with_name(f".{run.stem}.pieces")
