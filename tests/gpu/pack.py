"""Pack a call's work into a few small files, results first, and unpack it again.

A folder of output has `results.json`, `results.txt` and the volumes of one compressed tar archive.
What does not fit is left out whole: a network's weights, or a run with its arrays.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Number of files in a folder of output, and the most bytes of each and of all together.
FILES, LARGEST, TOTAL = 8, 16 * 2**20, 60 * 2**20
RESULTS, TEXT, ARCHIVE = "results.json", "results.txt", "work.tar.gz"
#: Bytes of a volume, and what the compressor may hold back.
VOLUME, MARGIN = LARGEST - 2**16, 2**20
#: Of compression: weights are hardly compressible, and packing is to be fast.
LEVEL = 3


@dataclass(frozen=True)
class Group:
    """Files that are of use only together, relative to the folder of work."""

    name: str
    paths: tuple[str, ...]


class _Volumes:
    """Writes one stream of bytes to files of limited size."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self.written = folder, size, 0

    def write(self, content: bytes) -> int:
        rest = memoryview(content)
        while rest:
            number, used = divmod(self.written, self.size)
            part = rest[: self.size - used]
            with (self.folder / f"{ARCHIVE}.{number}").open("ab") as file:
                file.write(part)
            self.written += len(part)
            rest = rest[len(part) :]
        return len(content)

    def flush(self) -> None:
        """Do nothing: every write closes its file."""


class _Joined:
    """Reads the volumes as one stream; a missing or short one ends it."""

    def __init__(self, folder: Path) -> None:
        self.paths = iter(volumes(folder))
        self.left = b""

    def read(self, size: int) -> bytes:
        while len(self.left) < size and (path := next(self.paths, None)):
            self.left += path.read_bytes()
        content, self.left = self.left[:size], self.left[size:]
        return content


def volumes(folder: Path) -> list[Path]:
    """Return the volumes in order, up to the first that is missing."""
    paths: list[Path] = []
    while (path := folder / f"{ARCHIVE}.{len(paths)}").is_file():
        paths.append(path)
    return paths


def is_output(folder: Path) -> bool:
    """Return whether a folder has what `pack` wrote."""
    return (folder / RESULTS).is_file() and bool(volumes(folder))


def clear(folder: Path) -> None:
    """Make a folder of output, or empty one; raise ValueError if it has other files."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [folder / RESULTS, folder / TEXT, *folder.glob(f"{ARCHIVE}.*")]
    others = sorted(set(folder.iterdir()) - set(own))
    if others:
        raise ValueError(f"{folder} has other files, such as {others[0].name}; name a new folder")
    for path in own:
        path.unlink(missing_ok=True)


def pack(
    work: Path,
    groups: Iterable[Group],
    into: Path,
    *,
    total: int = TOTAL,
    size: int = VOLUME,
) -> tuple[list[str], dict[str, int]]:
    """Write the groups that fit, in order; return their names, and the bytes of the others."""
    capacity = min(total, (FILES - 2) * size) - MARGIN
    stream, packed, left_out = _Volumes(into, size), list[str](), dict[str, int]()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=LEVEL) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        for group in groups:
            bytes_ = sum(_bytes_in_archive(work / path) for path in group.paths)
            if stream.written + bytes_ > capacity:
                left_out[group.name] = bytes_
                continue
            for path in group.paths:
                archive.add(work / path, path)
            packed.append(group.name)
    return packed, left_out


def _bytes_in_archive(path: Path) -> int:
    """Return the most bytes of a file in the archive: headers, padding, incompressible content."""
    return 2048 + path.stat().st_size * 1001 // 1000


def unpack(folder: Path, into: Path) -> bool:
    """Extract what `pack` wrote; return whether it is complete. What is before a gap is kept."""
    into.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / RESULTS, into / RESULTS)
    with contextlib.suppress(tarfile.TarError, EOFError, OSError):
        stream = _Joined(folder)
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:  # type: ignore[call-overload]
            for member in archive:
                archive.extract(member, into, filter="data")
        return True
    return False


def groups_of(work: Path, sent: Sequence[str], needed: Sequence[str]) -> Iterator[Group]:
    """Yield what is worth packing, the most valuable first.

    These are the log, cards and histories of networks, runs that no earlier call has `sent`, the
    other runs, and the folders of checkpoints that are `needed` to go on.
    """
    yield _group(work, "log and study file", [work / "study.toml", work / "log.txt"])
    for folder in sorted(work.glob("training/*")):
        yield _group(work, f"card and history of {folder.name}", sorted(folder.iterdir()))
    runs = [
        _group(work, str(path.relative_to(work)), [path, path.with_suffix(".npz")])
        for path in sorted(work.glob("reports/*/runs/*/*.json"))
    ]
    yield from sorted(runs, key=lambda group: group.name in sent)
    for name in needed:
        files = sorted((work / "checkpoints" / name).glob("[!.]*"))
        if files:
            yield _group(work, f"weights of {name}", files)


def _group(work: Path, name: str, paths: Sequence[Path]) -> Group:
    return Group(name, tuple(str(p.relative_to(work)) for p in paths if p.is_file()))


def write_results(folder: Path, results: dict[str, object], text: str) -> None:
    """Write the results as JSON and as text."""
    (folder / RESULTS).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / TEXT).write_text(text + "\n")
