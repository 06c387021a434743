"""Replace the files of a report atomically: a reader sees the old report or the new one.

All files are first written and flushed in a staging folder. A marker file then records that they
are complete, and each is moved to its final path; if a move fails, the old files are restored. If
the process is killed during the moves, the next command finds the marker and finishes them. A lock
keeps two processes from writing the same report at once.
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

#: The staging folder, the backup folder inside it, and the marker that staging is complete.
STAGING, BACKUP, COMPLETE = ".report", "old", "whole"


def publish(folder: Path, files: Mapping[str, bytes], obsolete: Iterable[str] = ()) -> None:
    """Write files below a folder and delete obsolete ones; after InputError nothing has changed."""
    staging = folder / STAGING
    with _lock(folder):
        _recover(folder)
        try:
            for name, content in files.items():
                _write(staging / "new" / name, content)
            store.write_text(staging / "obsolete", "".join(f"{name}\n" for name in obsolete))
            store.write_text(staging / COMPLETE, "")
            _move(folder)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def recover(folder: Path) -> None:
    """Complete the moves of a killed process, or discard its incomplete staging folder."""
    with _lock(folder):
        _recover(folder)


def _lock(folder: Path) -> AbstractContextManager[None]:
    return store.locked(folder / "report", "writing", wait=True)


def _recover(folder: Path) -> None:
    staging = folder / STAGING
    if (staging / COMPLETE).exists():
        with contextlib.suppress(OSError):
            _move(folder)
    shutil.rmtree(staging, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    store.write_atomically(path, lambda file: file.write(content))


def _move(folder: Path) -> None:
    """Move every staged file to its final path; restore the old files on an error."""
    staging = folder / STAGING
    new = staging / "new"
    names = sorted(path.relative_to(new) for path in new.rglob("*") if path.is_file())
    moved: list[Path] = []
    try:
        for name in names:
            _back_up(folder / name, staging / BACKUP / name)
            moved.append(name)
            os.replace(new / name, folder / name)
    except OSError as error:
        _restore(folder, moved)
        raise InputError(f"cannot write {folder / name}: {error.strerror or error}") from error
    for line in (staging / "obsolete").read_text(encoding="utf-8").splitlines():
        (folder / line).unlink(missing_ok=True)


def _back_up(path: Path, backup: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    backup.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not backup.exists():
        try:
            os.link(path, backup)
        except OSError:  # the file system has no hard links
            shutil.copy2(path, backup)


def _restore(folder: Path, moved: Iterable[Path]) -> None:
    for name in moved:
        backup = folder / STAGING / BACKUP / name
        with contextlib.suppress(OSError):
            if backup.exists():
                shutil.copy2(backup, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
