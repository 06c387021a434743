"""Moving what was unpacked or linked aside into the data root, whole, over nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sdd_eval.errors import InputError


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """An empty folder on the data root's own disk; what is left in it at the end is deleted.

    Raises:
        InputError: it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=root, prefix=".staging-"))
    except OSError as error:
        raise InputError(f"cannot write {root}: {error.strerror or error}") from error
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def place(staged: Path, folder: Path) -> None:
    """Move every entry of `staged` into `folder`; stray dot files of the packer's stay behind.

    Raises:
        InputError: something of that name is there already (nothing was moved), or the disk
            refuses.
    """
    entries = [entry for entry in staged.iterdir() if not _stray(entry.name)]
    for entry in entries:
        refuse_existing(folder / entry.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in entries:
            os.replace(entry, folder / entry.name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error


def refuse_existing(target: Path) -> None:
    """Refuse to place anything over what is there; an empty folder is nothing.

    Raises:
        InputError: something is there.
    """
    with contextlib.suppress(OSError):
        target.rmdir()
    if os.path.lexists(target):
        raise InputError(f"{target} is in the way")


def _stray(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
