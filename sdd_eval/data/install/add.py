"""Add the user's own data set: link a folder, unpack an archive, or copy a file."""

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
from sdd_eval.data.files import require_regular
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.image_folder import unwrap
from sdd_eval.data.install.unpack import refuse_existing, staging, unpack
from sdd_eval.data.install.verify import verified_status
from sdd_eval.data.provenance import record_verified
from sdd_eval.data.readers.npz import npz_files
from sdd_eval.errors import InputError, file_errors


def add(name: str, path: Path, root: Path) -> Status:
    """Place a folder, an archive or a file where the reader of a data set expects it.

    A folder is linked, not copied: moving it later breaks the link. It may be the published folder,
    its parent, or its innermost folder. A name that is not in the catalogue creates a custom set: a
    folder of images (sub-folders are classes), `.npz` files with `images` and `labels`, or a
    corrupted test set in CIFAR-C's layout. Raise InputError if `path` does not exist or is not such
    a set, the set already exists, or the disk cannot be written.
    """
    path, target = Path(os.path.expanduser(path)), _catalogued(name)
    with file_errors("find", path):
        if not path.exists():
            raise InputError(f"{path} does not exist")
    require_regular(path)
    path = path.resolve()
    if target is not None and getattr(target, "folder", None) is None:
        raise InputError(f"{target.name} has no files to add: it is always present")
    with staging(root) as staged:
        source = _opened(path, staged)
        if target is None:
            custom: Any = custom_dataset(source if npz_files(source) else unwrap(source), name)
            target = dataclasses.replace(custom, folder=name)
        folder, location = _matching(target, path, source, staged)
        _put(folder, root / location, linked=path.is_dir())
    published = [archive.md5 for archive in target.archives]
    if path.is_file() and hasattr(target, "content"):
        md5 = file_digests(path).md5
        if md5 in published:
            record_verified(root, target.name, target.content(root), md5)
    return verified_status(target, root)


def _catalogued(name: str) -> Any:
    """Return the data set plugin of a name; None for the name of a custom set."""
    if canonical_name(name) in plugins.names("datasets"):
        return dataset(name).plugin
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(
            f"{name!r} is not a valid name: use letters, digits, '_', '-' and '.', and start with "
            "a letter, a digit or '_'"
        )
    return None


def _opened(path: Path, staged: Path) -> Path:
    """Return the folder to search: the user's own, or one with the file's content."""
    if path.is_dir():
        return path
    folder = staged / "opened"
    folder.mkdir()
    if path.suffix in (".mat", ".npy", ".npz"):
        with file_errors("copy", path):
            shutil.copyfile(path, folder / path.name)
    else:
        unpack(path, folder)
    return folder


def _matching(target: Any, path: Path, source: Path, staged: Path) -> tuple[Path, str]:
    """Return a folder at or below `source`, and its place below the root for the reader."""
    for number, (folder, location) in enumerate(_candidates(target.folder, source)):
        mirror = staged / f"mirror{number}"
        link = mirror / location
        link.parent.mkdir(parents=True)
        link.symlink_to(folder.absolute())
        try:
            with file_errors("read"):
                status = target.status(mirror)
                if status.present and status.images:
                    verified_status(target, mirror)
                    return folder, location
        except InputError as error:  # name the user's path instead of the link's
            raise InputError(str(error).replace(str(link), str(folder))) from error
    raise InputError(f"{path} does not look like {target.name}: no images as in {target.folder}/")


def _candidates(folder: str, source: Path) -> Iterator[tuple[Path, str]]:
    """Yield folders that may be the set, each with its part of `folder` (e.g. dtd/images)."""
    parts = folder.split("/")
    for outer in dict.fromkeys((source, unwrap(source))):
        if (outer / parts[0]).is_dir():
            yield outer / parts[0], parts[0]
        for depth in range(1, len(parts) + 1):
            yield outer, "/".join(parts[:depth])


def _put(folder: Path, final: Path, *, linked: bool) -> None:
    refuse_existing(final)
    if linked and final.parent.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} contains the data root; choose another --data-root")
    with file_errors("write", final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if linked:
            final.symlink_to(folder, target_is_directory=True)
        else:
            os.replace(folder, final)
