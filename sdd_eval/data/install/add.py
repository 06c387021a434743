"""Placing a data set that the user has: a folder is linked, an archive unpacked, a file copied."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdd_eval import plugins
from sdd_eval.data.catalogue import canonical_name, custom_dataset, dataset
from sdd_eval.data.dataset import Status
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.image_folder import unwrap
from sdd_eval.data.install.unpack import refuse_existing, staging, unpack
from sdd_eval.data.install.verify import verified_status
from sdd_eval.data.provenance import ContentHashed, record_verified
from sdd_eval.data.readers.npz import npz_files
from sdd_eval.errors import InputError


def add(name: str, path: Path, root: Path) -> Status:
    """Place a folder, an archive or a file of the user's where the set's reader looks for it.

    A folder is linked, not copied: data sets are large, and it stays the user's (moving it breaks
    the link). It may be the publisher's folder, the one around it, or the innermost one. A name
    that is in no catalogue becomes the name of a folder of images (its sub-folders are classes), of
    `.npz` files with `images` and `labels`, or of a corrupted test set in the layout of CIFAR-C.

    Raises:
        InputError: nothing is at `path`, it does not look like the set, something is in its place
            already, or the disk refuses.
    """
    path, found = path.expanduser().resolve(), _catalogued(name)
    if not path.exists():
        raise InputError(f"{path} is not there")
    if found is not None and getattr(found, "folder", None) is None:
        raise InputError(f"{found.name} has no files to place: it is always there")
    with staging(root) as aside:
        source = _opened(path, aside)
        found = found or _users(name, source)
        target, inside = _fitting(found, path, source, aside)
        _put(target, root / inside, linked=path.is_dir())
    if path.is_file() and isinstance(found, ContentHashed):
        _vouch_for(found, path, root)
    return verified_status(found, root)


def _catalogued(name: str) -> Any:
    """The data set plugin of a name; None for a name that the user has thought of."""
    if canonical_name(name) in plugins.names("datasets"):
        return dataset(name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{name!r} is no name for a folder: letters, digits, '_', '-' and '.'")
    return None


def _users(name: str, source: Path) -> Any:
    """What the user has in a folder, as the set of that name below the data root."""
    found: Any = custom_dataset(source if npz_files(source) else unwrap(source), name)
    return dataclasses.replace(found, folder=name)


def _opened(path: Path, aside: Path) -> Path:
    """The folder to look in: the user's own, or one with what the archive or file holds."""
    if path.is_dir():
        return path
    folder = aside / "opened"
    folder.mkdir()
    if path.suffix in (".mat", ".npy", ".npz"):
        try:
            shutil.copyfile(path, folder / path.name)
        except OSError as error:
            raise InputError(f"cannot copy {path}: {error.strerror or error}") from error
    else:
        unpack(path, folder)
    return folder


def _fitting(found: Any, path: Path, source: Path, aside: Path) -> tuple[Path, str]:
    """A folder at or below `source`, and where below the root the set's reader understands it.

    Raises:
        InputError: the reader understands none, or a file that it reads is broken.
    """
    for number, (target, inside) in enumerate(_candidates(found.folder, source)):
        mirror = aside / f"mirror{number}"
        link = mirror / inside
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
        try:
            status = found.status(mirror)
            if status.present and status.images:
                verified_status(found, mirror)
                return target, inside
        except InputError as error:  # the user knows the file by its own name
            raise InputError(str(error).replace(str(link), str(target))) from error
    raise InputError(f"{path} does not look like {found.name}: no images as in {found.folder}/")


def _candidates(folder: str, source: Path) -> Iterator[tuple[Path, str]]:
    """What could be the set, and as which part of `folder` (a path such as dtd/images)."""
    parts = folder.split("/")
    for outer in dict.fromkeys((source, unwrap(source))):
        if (outer / parts[0]).is_dir():
            yield outer / parts[0], parts[0]
        for depth in range(1, len(parts) + 1):
            yield outer, "/".join(parts[:depth])


def _put(target: Path, final: Path, *, linked: bool) -> None:
    """Link or move a folder into place."""
    refuse_existing(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if linked:
            final.symlink_to(target, target_is_directory=True)
        else:
            os.replace(target, final)
    except OSError as error:
        raise InputError(f"cannot write {final}: {error.strerror or error}") from error


def _vouch_for(found: Any, archive: Path, root: Path) -> None:
    """Note that the content is the publisher's where the archive's checksum is."""
    md5 = file_digests(archive).md5
    if md5 in [published.md5 for published in found.archives]:
        record_verified(root, found.name, found.content(root), md5)
