"""The user's `.npz` files with the arrays `images` and, optionally, `labels`."""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import Reader, Shape, Status, missing_dataset, require_split
from sdd_eval.data.files import reading, require_expansion, require_regular
from sdd_eval.data.images import ArrayImages, from_arrays
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER
from sdd_eval.errors import InputError

#: File names of the splits; a single file of any other name contains the test images.
SPLITS = ("train", "test")


@dataclass(frozen=True)
class NpzSet(Reader):
    """`train.npz` and `test.npz` in a folder (relative to the data root, or absolute), or one file.

    Each has `images`, uint8 (n, side, side) or with 1 or 3 channels, last or first; `labels`, class
    indices (n,), unless the set is only used as an OOD set; and optionally `class_names`.
    """

    name: str
    summary: str
    folder: str

    def status(self, root: Path) -> Status:
        """Return the state of the set on disk; only the header of the test images is read."""
        folder = root / self.folder
        files = _files(folder)
        if not files:
            return Status(ABSENT, 0, str(folder))
        shape = _header(files.get("test", next(iter(files.values()))))
        return Status(USERS_FOLDER, shape[0] if shape else 0, str(folder))

    def read(self, root: Path, split: str, shape: Shape) -> ArrayImages:
        """Load the images of a split into memory."""
        folder = root / self.folder
        files = _files(folder)
        if not files:
            raise missing_dataset(self.name, folder, downloadable=False)
        require_split(self.name, split, *files)
        arrays = _read(files[split])
        return from_arrays(
            arrays["images"],
            arrays.get("labels"),
            name=self.name,
            class_names=tuple(arrays.get("class_names", ())),
            provenance=USERS_FOLDER,
        )


def npz_files(path: Path) -> list[Path]:
    """Return the `.npz` files of a folder, or `path` itself if it is one."""
    if path.is_file():
        return [path] if path.suffix == ".npz" else []
    return sorted(path for path in path.glob("*.npz") if not path.name.startswith("."))


def _files(folder: Path) -> dict[str, Path]:
    paths = npz_files(folder)
    if len(paths) == 1 and paths[0].stem not in SPLITS:
        return {"test": paths[0]}
    files = {path.stem: path for path in paths if path.stem in SPLITS}
    if paths and "test" not in files:
        names = ", ".join(path.name for path in paths)
        raise InputError(f"{folder} has {names}; one of several files must be test.npz")
    return files


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file; pickles are refused."""
    with reading(path, "a complete .npz file of plain arrays"), path.open("rb") as raw:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                require_expansion(path, sum(member.file_size for member in archive.infolist()))
        file = np.load(raw, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is a single array, as in a .npy file")
        arrays = {name: file[name] for name in file.files}
    if "images" not in arrays:
        raise InputError(f"{path} has no array 'images'; it has {', '.join(arrays) or 'none'}")
    return arrays


def _header(path: Path) -> tuple[int, ...]:
    """Read the shape of `images`; empty if it cannot be read."""
    with contextlib.suppress(Exception):  # a damaged file may raise anything
        require_regular(path)
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            return read(file)[0]
    return ()
