"""Cache of a report's figures: a figure is drawn again only if its data or code changed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Plot, RunArrays
from sdd_eval.figures.points import Tooltip
from sdd_eval.figures.selection import where
from sdd_eval.store import StoredArrays

if TYPE_CHECKING:
    import pandas

#: The file in the folder of figures that records the key of each figure.
RECORD = "drawn.json"


@dataclass(frozen=True)
class RenderedFigure:
    """A figure's cache key, its files by suffix, and its values by width."""

    key: str
    files: Mapping[str, bytes]
    values: Mapping[str, tuple[Tooltip, ...]]


#: Figures of the previous report by key.
FigureCache = Mapping[str, RenderedFigure]


def read_cache(folder: Path) -> FigureCache:
    """Return a folder's unmodified figures; empty if its record is missing or broken."""
    cached: dict[str, RenderedFigure] = {}
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        for name, entry in json.loads((folder / RECORD).read_text(encoding="utf-8")).items():
            files = {suffix: _read(folder / f"{name}{suffix}") for suffix in entry["files"]}
            if all(_digest(files[suffix]) == entry["files"][suffix] for suffix in files):
                values = {
                    w: tuple(Tooltip(*tooltip) for tooltip in v) for w, v in entry["values"].items()
                }
                cached[entry["key"]] = RenderedFigure(entry["key"], files, values)
    return cached


def cache_record(figures: Iterable[tuple[str, RenderedFigure]]) -> str:
    """Return the record of named figures as JSON."""
    record = {
        name: {
            "key": figure.key,
            "files": {suffix: _digest(content) for suffix, content in figure.files.items()},
            "values": {
                width: [list(asdict(value).values()) for value in values]
                for width, values in figure.values.items()
            },
        }
        for name, figure in figures
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def figure_key(
    plot: Plot, rows: pandas.DataFrame, arrays: RunArrays, style: Path | None, other: str = ""
) -> str:
    """Return a hash of everything that determines a figure.

    For a figure with an evaluator, these are that evaluator's rows, the arrays of their runs and
    the names of the groups (which determine colours); for any other figure, all rows and arrays.
    The code, matplotlib's version, the style and other inputs as text are included.
    """
    used = where(rows, evaluator=plot.evaluator) if plot.evaluator else rows
    groups = rows[["group", "method", "sd_dropout", "setting"]].drop_duplicates("group")
    parts = [
        code_hash(plot.draw.__module__),
        _style_text(style),
        *(_table_hash(table) for table in (used, groups)),
        *(f"{run} {_array_checksums(arrays, run)}" for run in used["run"].unique()),
    ]
    return _digest("\n".join([plot.title, other, *parts]).encode())


def _style_text(style: Path | None) -> str:
    if style is None or not style.is_file():
        return str(style or "")
    return style.read_bytes().hex()


def _table_hash(table: pandas.DataFrame) -> str:
    from pandas.util import hash_pandas_object

    hashes = hash_pandas_object(table.dropna(axis=1, how="all"), index=False).to_numpy()
    return f"{list(table.columns)} {_digest(hashes.tobytes())}"


def _array_checksums(arrays: RunArrays, run: str) -> str:
    """Return the checksums stored in a run's file of arrays; empty if there is no file."""
    stored: Any = arrays.get(run)
    stored = getattr(stored, "stored", stored)
    if not isinstance(stored, StoredArrays):
        entries = stored.entries if stored else ()
        return ",".join(f"{e.name} {dict(e.at)} {_digest(e.read().tobytes())}" for e in entries)
    try:
        status = stored.path.stat()
        return _zip_checksums(stored.path, status.st_size, status.st_mtime_ns)
    except (OSError, zipfile.BadZipFile):
        return ""


@functools.lru_cache(maxsize=4096)
def _zip_checksums(path: Path, size: int, modified: int) -> str:
    with zipfile.ZipFile(path) as file:
        return ",".join(f"{member.filename} {member.CRC:08x}" for member in file.infolist())


@functools.cache
def code_hash(module: str) -> str:
    """Return a hash of the figures' code, the plugin's own module and matplotlib's version."""
    package = importlib.resources.files("sdd_eval")
    folders = [package / name for name in ("figures", "statistics")]
    sources = [
        file.read_bytes()
        for folder in folders
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".py")
    ]
    plugin = getattr(sys.modules.get(module), "__file__", None)
    sources += [Path(plugin).read_bytes()] if plugin else []
    return f"{module} {importlib.metadata.version('matplotlib')} {_digest(b''.join(sources))}"
