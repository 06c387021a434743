"""Unpack untrusted tar and zip archives, and move the result into the data root."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sdd_eval.data.files import free_bytes, require_expansion
from sdd_eval.errors import InputError, file_errors


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files and folders of a tar (of any compression) or zip into a folder.

    Raise InputError if the file is not an archive or is broken, its content is larger than the disk
    or implausibly large for the archive, or a member lies outside the folder or is a link or a
    device; the caller deletes files that were already written.
    """
    free, unpacked = free_bytes(folder), 0

    def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
        nonlocal unpacked
        unpacked += member.size
        _check_size(archive, unpacked, free)
        _check_member(archive, member.name, member.isreg() or member.isdir())
        by_umask: Any = None  # instead of the archive's permissions
        return tarfile.data_filter(member, path).replace(mode=by_umask, deep=False)

    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _check_size(archive, sum(m.file_size for m in packed.infolist()), free)
                for member in packed.infolist():
                    kind = stat.S_IFMT(member.external_attr >> 16)
                    plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                    _check_member(archive, member.filename, plain)
                packed.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive, "r:*") as tar:
                tar.extractall(folder, filter=checked)
        else:
            raise InputError(f"{archive} is not a tar or zip archive")
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot unpack {archive}: {error.strerror}") from error
        cause = str(error) or type(error).__name__
        raise InputError(f"{archive} is broken, truncated or encrypted: {cause}") from error


def _check_size(archive: Path, unpacked: int, free: int) -> None:
    """Raise InputError if the content fills the disk, or is implausibly large for the archive."""
    require_expansion(archive, unpacked)
    if unpacked > free:
        raise InputError(
            f"{archive} is refused: it unpacks to at least {unpacked:,} bytes; {free:,} are free"
        )


def _check_member(archive: Path, name: str, plain: bool) -> None:
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        raise InputError(f"{archive} is refused: its member {name!r} lies outside the folder")
    if not plain:
        raise InputError(f"{archive} is refused: its member {name!r} is a link or a device")


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Provide an empty temporary folder on the data root's disk, deleted at the end."""
    with file_errors("write", root):
        root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=root, prefix=".staging-"))
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def install_staged(staged: Path, folder: Path) -> None:
    """Move the entries of `staged` into `folder`; if one exists, move none, raise InputError."""
    names = (entry.name for entry in staged.iterdir())
    entries = [staged / n for n in names if not n.startswith(".") and n != "__MACOSX"]
    for entry in entries:
        refuse_existing(folder / entry.name)
    with file_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for entry in entries:
            os.replace(entry, folder / entry.name)


def refuse_existing(target: Path) -> None:
    """Raise InputError if the target is anything but an empty folder."""
    with contextlib.suppress(OSError):
        target.rmdir()
    if os.path.lexists(target):
        raise InputError(f"{target} already exists")
