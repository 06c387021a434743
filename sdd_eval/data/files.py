"""Guards for users' files: pipes and devices, damaged files, archives that fill the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from sdd_eval.errors import InputError

#: Maximum ratio of unpacked to archive size: compressed images shrink by less than a factor of ten,
#: a file of one repeated byte by a factor of a thousand.
MOST_EXPANSION = 200
#: Smaller contents are unpacked whatever their compression ratio.
SMALL_CONTENT = 2**30


def regular_status(path: Path | str) -> os.stat_result:
    """Return a file's status; raise InputError for a pipe or a device, which may never end."""
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError(f"{path} is not a file but a pipe, a socket or a device")
    return status


def require_regular(path: Path | str) -> None:
    """Raise InputError for a pipe or a device; a missing file is reported where it is opened."""
    with contextlib.suppress(OSError):
        regular_status(path)


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Convert any error of a reader to an InputError: PATH is not KIND, and why."""
    require_regular(path)
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        cause = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is not {kind}: {cause}") from error


def require_expansion(archive: Path, unpacked: int) -> None:
    """Raise InputError if `unpacked` bytes are implausibly many for the content of an archive."""
    packed = archive.stat().st_size
    if unpacked > SMALL_CONTENT and unpacked > MOST_EXPANSION * packed:
        raise InputError(
            f"{archive} is refused: its {packed:,} bytes would unpack to more than "
            f"{MOST_EXPANSION} times as many ({unpacked:,})"
        )


def free_bytes(folder: Path) -> int:
    """Return the free space in bytes on the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
