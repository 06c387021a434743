"""Arrays of the user's in `.npz` files: `images`, and `labels` where there are any."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.dataset import Archive, Status, missing_dataset, require_shape, require_split
from sdd_eval.data.images import ArrayImages, from_arrays
from sdd_eval.data.provenance import ABSENT, USERS_FOLDER
from sdd_eval.errors import InputError

#: Names of the files that hold a split; a single file of any other name is the test images.
SPLITS = ("train", "test")


@dataclass(frozen=True)
class NpzSet:
    """`train.npz` and `test.npz` in a folder (relative to the data root, or absolute), or one file.

    Each holds `images`, uint8 (n, side, side) or with 1 or 3 channels, last or first; `labels`,
    class indices (n,), unless the set only serves as outliers; and perhaps `class_names`.
    """

    name: str
    summary: str
    folder: str
    archives: tuple[Archive, ...] = ()

    def status(self, root: Path) -> Status:
        """What is there; of the test images only the header is read."""
        place = root / self.folder
        found = _files(place)
        if not found:
            return Status(ABSENT, 0, str(place))
        shape = _header(found.get("test", next(iter(found.values()))))
        return Status(USERS_FOLDER, shape[0] if shape else 0, str(place))

    def load(
        self,
        root: Path,
        split: str = "test",
        *,
        image_size: int | None = None,
        channels: int | None = None,
    ) -> ArrayImages:
        """The images of a split, in memory."""
        place = root / self.folder
        found = _files(place)
        if not found:
            raise missing_dataset(self.name, place, downloadable=False)
        require_split(self.name, split, *found)
        arrays = _read(found[split])
        images = from_arrays(
            arrays["images"],
            arrays.get("labels"),
            name=self.name,
            class_names=tuple(arrays.get("class_names", ())),
            provenance=USERS_FOLDER,
        )
        require_shape(images, image_size, channels)
        return images


def npz_files(place: Path) -> list[Path]:
    """The `.npz` files of a folder, or the one that `place` is."""
    if place.is_file():
        return [place] if place.suffix == ".npz" else []
    return sorted(path for path in place.glob("*.npz") if not path.name.startswith("."))


def _files(place: Path) -> dict[str, Path]:
    """The file of each split.

    Raises:
        InputError: there are several, and no `test.npz` among them.
    """
    there = npz_files(place)
    if len(there) == 1 and there[0].stem not in SPLITS:
        return {"test": there[0]}
    found = {path.stem: path for path in there if path.stem in SPLITS}
    if there and "test" not in found:
        names = ", ".join(path.name for path in there)
        raise InputError(f"{place} holds {names}; of several files one must be test.npz")
    return found


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file; no pickle in it is read."""
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it holds a single array, as .npy does")
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no whole .npz file of plain arrays: {error}") from error
    if "images" not in arrays:
        raise InputError(f"{path} has no array 'images'; it has {', '.join(arrays) or 'none'}")
    return arrays


def _header(path: Path) -> tuple[int, ...]:
    """The shape of `images`; empty where the file tells none."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape: tuple[int, ...] = read(file)[0]
            return shape
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ()
