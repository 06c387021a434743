"""Unpacking tar and zip archives that nobody vouches for."""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from sdd_eval.errors import InputError

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a zip compressed in a way that Python does not know
    RuntimeError,  # an encrypted zip
)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack plain files and folders of a tar (of any compression) or zip into a folder.

    Raises:
        InputError: it is no archive, is broken, the disk is full, or a member lies outside the
            folder or is neither a file nor a folder (links, devices); what was written until then
            is left for the caller to delete.
    """
    try:
        if zipfile.is_zipfile(archive):
            _write(archive, folder, _zip_members(archive))
        elif tarfile.is_tarfile(archive):
            _write(archive, folder, _tar_members(archive))
        else:
            raise InputError(f"{archive} is not a tar or zip archive")
    except _BROKEN as error:
        raise InputError(f"{archive} is broken or cut short: {error}") from error
    except OSError as error:
        raise InputError(f"cannot unpack {archive}: {error.strerror or error}") from error


Member = tuple[str, "IO[bytes] | None"]


def _write(archive: Path, folder: Path, members: Iterator[Member]) -> None:
    """Write members one after the other; those without content are folders."""
    for name, content in members:
        target = folder / _inside(archive, name)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)


def _inside(archive: Path, name: str) -> PurePosixPath:
    """A member's path below the folder.

    Raises:
        InputError: it leads outside.
    """
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        raise InputError(f"{archive} is refused: its member {name!r} lies outside the folder")
    return path


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise _strange(archive, member.name)
            yield member.name, tar.extractfile(member) if member.isreg() else None


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _strange(archive, member.filename)
            if member.flag_bits & 1:
                raise InputError(f"{archive} is encrypted")
            yield member.filename, None if member.is_dir() else packed.open(member)


def _strange(archive: Path, name: str) -> InputError:
    return InputError(f"{archive} is refused: its member {name!r} is a link or a device")


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


def install_staged(staged: Path, folder: Path) -> None:
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
