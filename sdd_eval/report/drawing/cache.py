"""Figures of the last report that need not be drawn again, because nothing of them changed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays, Plot
from sdd_eval.figures.points import Tooltip
from sdd_eval.figures.selection import where
from sdd_eval.store import StoredArrays

if TYPE_CHECKING:
    import pandas

#: The file, beside the figures, that says of what each was drawn.
RECORD = "drawn.json"


@dataclass(frozen=True)
class Drawn:
    """A figure's files by what follows its name, its values by width, and of what it was drawn."""

    key: str
    files: Mapping[str, bytes]
    values: Mapping[str, tuple[Tooltip, ...]]


@dataclass(frozen=True)
class DrawnBefore:
    """What a folder of figures holds, by key; nothing of a figure whose files were changed."""

    figures: Mapping[str, Drawn] = field(default_factory=dict)

    def found(self, key: str) -> Drawn | None:
        """The figure of a key."""
        return self.figures.get(key)


def drawn_before(folder: Path) -> DrawnBefore:
    """What is in a folder of figures; nothing where its record is missing or broken."""
    found: dict[str, Drawn] = {}
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        for name, told in json.loads((folder / RECORD).read_text(encoding="utf-8")).items():
            files = {ending: _read(folder / f"{name}{ending}") for ending in told["files"]}
            if all(_digest(files[ending]) == told["files"][ending] for ending in files):
                values = {w: tuple(Tooltip(*each) for each in v) for w, v in told["values"].items()}
                found[told["key"]] = Drawn(told["key"], files, values)
    return DrawnBefore(found)


def record_of(drawings: Iterable[tuple[str, Drawn]]) -> str:
    """The record of named figures, as text."""
    told = {
        name: {
            "key": drawn.key,
            "files": {ending: _digest(content) for ending, content in drawn.files.items()},
            "values": {w: [list(asdict(v).values()) for v in v_] for w, v_ in drawn.values.items()},
        }
        for name, drawn in drawings
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(path: Path) -> bytes:
    """A file's content; nothing where it is gone, which no digest is of."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def key_of_figure(plot: Plot, rows: pandas.DataFrame, arrays: Arrays, style: Path | None) -> str:
    """A hash of all that a figure is drawn of.

    Of a figure with an evaluator these are that evaluator's rows, the arrays of their runs, and the
    names of the groups (for colours); of another all rows. And the code, matplotlib, and the style.
    """
    own = where(rows, evaluator=plot.evaluator) if plot.evaluator else rows
    groups = rows[["group", "method", "sd_dropout", "setting"]].drop_duplicates("group")
    parts = [
        _code(plot.draw.__module__),
        (style.read_bytes() if style is not None else b"").hex(),
        *(_of_table(table) for table in (own, groups)),
        *(f"{run} {_of_arrays(arrays, run)}" for run in own["run"].unique()),
    ]
    return _digest("\n".join([plot.title, *parts]).encode())


def _of_table(table: pandas.DataFrame) -> str:
    """A hash of a table's cells and columns."""
    from pandas.util import hash_pandas_object

    hashes = hash_pandas_object(table, index=False).to_numpy()
    return f"{list(table.columns)} {_digest(hashes.tobytes())}"


def _of_arrays(arrays: Arrays, run: str) -> str:
    """The checksums that a run's file of arrays has inside; empty where there is none."""
    stored: Any = arrays.get(run)
    stored = getattr(stored, "arrays", stored)
    if not isinstance(stored, StoredArrays):
        return ",".join(f"{n} {_digest(stored[n].tobytes())}" for n in sorted(stored or ()))
    try:
        status = stored.path.stat()
        return _checksums(stored.path, status.st_size, status.st_mtime_ns)
    except (OSError, zipfile.BadZipFile):
        return ""


@functools.lru_cache(maxsize=4096)
def _checksums(path: Path, size: int, changed: int) -> str:
    """The names and checksums in a zip file of this size and time; several figures ask for them."""
    with zipfile.ZipFile(path) as file:
        return ",".join(f"{each.filename} {each.CRC:08x}" for each in file.infolist())


@functools.cache
def _code(module: str) -> str:
    """A hash of the figures' code, that of a stranger's module too, and matplotlib's version."""
    from importlib.metadata import version

    ours = Path(__file__).parents[1]
    paths = [*sorted((ours / "figures").glob("*.py")), *sorted((ours / "statistics").glob("*.py"))]
    own = getattr(sys.modules.get(module), "__file__", None)
    paths += [Path(own)] if own else []
    sources = b"".join(path.read_bytes() for path in paths)
    return f"{module} {version('matplotlib')} {_digest(sources)}"
