"""Many files put in place as one: a reader finds the old report or the new one.

All files are written aside and flushed to the disk first. Then a marker says that they are whole,
and each is moved into place; where that fails, the old files are put back. A process that is
killed in between leaves the marker, and the next command finishes the move. Of two processes that
write one report at once the second waits, so that it does not throw away what the first has aside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from sdd_eval import store
from sdd_eval.errors import InputError

#: Where files wait beside their place, the old ones meanwhile, and the marker that all are there.
ASIDE, OLD, WHOLE = ".report", "old", "whole"


def publish(folder: Path, files: Mapping[str, bytes], obsolete: Iterable[str] = ()) -> None:
    """Write files (name with folders → content) below a folder, and remove obsolete ones.

    Raises:
        InputError: they cannot be written; then all files are as before.
    """
    with _alone(folder):
        _recover(folder)
        _publish(folder, files, obsolete)


def _publish(folder: Path, files: Mapping[str, bytes], obsolete: Iterable[str]) -> None:
    aside = folder / ASIDE
    try:
        for name, content in files.items():
            _write(aside / "new" / name, content)
        store.write_text(aside / "obsolete", "".join(f"{name}\n" for name in obsolete))
        store.write_text(aside / WHOLE, "")
        _move(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Finish what a killed process had begun to move, or throw away what it had not.

    Raises:
        InputError: the folder cannot be written.
    """
    with _alone(folder):
        _recover(folder)


def _alone(folder: Path) -> AbstractContextManager[None]:
    """While no other process writes the folder's report; waits for one that does."""
    return store.locked(folder / "report", "writing", wait=True)


def _recover(folder: Path) -> None:
    aside = folder / ASIDE
    if (aside / WHOLE).exists():
        with contextlib.suppress(OSError):
            _move(folder)
    shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    store.write_atomically(path, lambda file: file.write(content))


def _move(folder: Path) -> None:
    """Move every file that waits into place; on an error put the old ones back."""
    aside = folder / ASIDE
    new = sorted(p.relative_to(aside / "new") for p in (aside / "new").rglob("*") if p.is_file())
    moved: list[Path] = []
    try:
        for name in new:
            _keep(folder / name, aside / OLD / name)
            moved.append(name)
            os.replace(aside / "new" / name, folder / name)
    except OSError as error:
        _put_back(folder, moved)
        raise InputError(f"cannot write {folder / name}: {error.strerror or error}") from error
    for line in (aside / "obsolete").read_text(encoding="utf-8").splitlines():
        (folder / line).unlink(missing_ok=True)


def _keep(path: Path, kept: Path) -> None:
    """Keep the file that is there now, and make the folder of the one that comes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not kept.exists():
        try:
            os.link(path, kept)
        except OSError:  # a file system without links
            shutil.copy2(path, kept)


def _put_back(folder: Path, moved: Iterable[Path]) -> None:
    """The old files of those that were moved; none where there was none."""
    for name in moved:
        old = folder / ASIDE / OLD / name
        with contextlib.suppress(OSError):
            if old.exists():
                shutil.copy2(old, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
